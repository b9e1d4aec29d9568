"""The runs of a sweep: every combination of the values given, with every seed."""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.errors import UsageError
from search.files import sha256_bytes

MOST_RUNS = 10_000
_LONGEST_NAME = 60
# What a run of a sweep is given by the sweep itself.
TAKEN = (
    "--recipe",
    "--set",
    "--seed",
    "--output",
    "-o",
    "--run",
    "--resume",
    "--format",
    "--quiet",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One combination: values of keys of the recipe, and of options of the search."""

    keys: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """Value by key or option, as they are shown."""
        return dict((*self.keys, *self.options))

    def words(self) -> list[str]:
        """Of the command line of a search."""
        words = [word for name, value in self.options for word in (f"--{name}", value)]
        return words + [word for name, value in self.keys for word in ("--set", f"{name}={value}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One search: its setting, its seed and the words that start it."""

    setting: Setting
    seed: int
    words: tuple[str, ...]
    identity: str

    @property
    def name(self) -> str:
        """Of its folder: readable, and of nothing else than this run."""
        parts = [f"{name}-{value}" for name, value in self.setting.values.items()]
        text = re.sub(r"[^A-Za-z0-9.=-]+", "-", "_".join((*parts, f"seed-{self.seed}")))
        return f"{text[-_LONGEST_NAME:].strip('-.')}-{self.identity[:8]}"


def split_values(text: str) -> list[str]:
    """Values between commas; those inside brackets, braces or quotes divide nothing."""
    values, depth, quote, current = [], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        if character == "," and not depth and not quote:
            values.append(current.strip())
            current = ""
        else:
            current += character
    return [*values, current.strip()]


def parse_axis(text: str, option: str) -> tuple[str, list[str]]:
    """`name=value,value` as name and values.

    Raises:
        UsageError: No name, no value, or one twice.
    """
    name, equals, rest = text.partition("=")
    name, values = name.strip().removeprefix("--"), split_values(rest)
    if not (name and equals) or "" in values:
        raise UsageError(
            f"{option} {text!r} names no values.", f"Give for example {option} name=1,2."
        )
    if len(set(values)) < len(values):
        raise UsageError(f"{option} {text!r} names a value twice.", "Leave one out.")
    return name, values


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` or `0-4` as numbers.

    Raises:
        UsageError: No numbers, or one twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 20:
            raise UsageError(f"--seeds {text!r} are no seeds.", "Give --seeds 0,1,2 or 0-4.")
        end = int(last) if dash else int(first)
        if end - int(first) >= MOST_RUNS:
            raise UsageError(f"--seeds {text!r} are too many.", f"Give {MOST_RUNS} at most.")
        seeds += range(int(first), end + 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text!r} name none, or one twice.", "Give --seeds 0,1,2.")
    return seeds


def settings_of(sets: Sequence[str], over: Sequence[str]) -> list[Setting]:
    """Every combination of values.

    Args:
        sets: `key=value,value` of the recipe.
        over: `option=value,value` of the search.

    Raises:
        UsageError: A name stands twice, or there are too many.
    """
    keys = [parse_axis(text, "--set") for text in sets]
    options = [parse_axis(text, "--over") for text in over]
    names = [name for name, _ in (*keys, *options)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is given twice.", "Give all of its values at once: a=1,2.")
        if f"--{name}" in TAKEN:
            raise UsageError(f"--over {name} is set by the sweep itself.", "Leave it out.")
    number = 1
    for _, values in (*keys, *options):
        number *= len(values)
    if number > MOST_RUNS:
        raise UsageError(f"These are {number:,} settings.", f"Give {MOST_RUNS:,} at most.")
    return list(_combined(keys, options))


def _combined(
    keys: list[tuple[str, list[str]]], options: list[tuple[str, list[str]]]
) -> Iterator[Setting]:
    for values in itertools.product(*(values for _, values in (*keys, *options))):
        names = [name for name, _ in (*keys, *options)]
        pairs = tuple(zip(names, values, strict=True))
        yield Setting(keys=pairs[: len(keys)], options=pairs[len(keys) :])


def runs_of(
    recipe: str,
    recipe_text: str,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    rest: Sequence[str],
) -> list[Run]:
    """The runs of a sweep, all seeds of a setting together.

    Args:
        recipe: Name or path.
        recipe_text: Its content: another one makes other runs.
        settings: From `settings_of`.
        seeds: Of every setting.
        rest: Other words of the command line of every search.
    """
    runs = []
    for setting in settings:
        for seed in seeds:
            words = ("--recipe", recipe, *rest, *setting.words(), "--seed", str(seed))
            identity = sha256_bytes(json.dumps([recipe_text, words[2:]]).encode())
            runs.append(Run(setting=setting, seed=seed, words=words, identity=identity))
    return runs
