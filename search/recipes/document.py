"""Recipes by name or file, with `--set key=value` on top."""

import copy
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.documents import read_text, refuse_unknown
from search.errors import UsageError

RECIPE_SCHEMA = 1
DEFAULT = "cpu"
_FOLDER = Path(__file__).parent / "files"
_MOST_BYTES = 2**20
_HEAD = ("schema_version", "description", "source", "extends")
_MOST_EXTENDED = 8
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe file: hyperparameters by table (`train`, or a search method's name).

    Attributes:
        name: As it was asked for.
        description: One line.
        source: Where its values are printed.
        tables: Values by dotted keys.
        own: The tables that stand in the file itself, not in one that it extends.
    """

    name: str
    description: str = ""
    source: str = ""
    tables: Mapping[str, Values] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    def table(self, name: str) -> Values:
        """The values of one table.

        Raises:
            UsageError: The recipe has no such table.
        """
        if name not in self.tables:
            raise UsageError(
                f"The recipe {self.name} says nothing of {name}.",
                f"It has {', '.join(self.tables) or 'no table'}; "
                "see python -m search recipes for others.",
            )
        return self.tables[name]

    def changed(self, settings: Sequence[str], home: str, known: "Known") -> "Recipe":
        """With values given as `key=value`.

        Args:
            settings: `train.epochs=90`; a key without a table is of `home`, or else of `train`.
            home: The table that a key belongs to which names none.
            known: Keys of every table.

        Raises:
            UsageError: No `key=value`, or a key that nothing has.
        """
        tables = {name: dict(values) for name, values in self.tables.items()}
        for setting in settings:
            name, value = parse_setting(setting)
            table, key = _place(name, home, known)
            tables.setdefault(table, {})[key] = value
        return replace(self, tables=tables)


Known = Mapping[str, Sequence[str]]


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the kit."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def recipe_source(name: str) -> str:
    """The TOML text of a recipe, by name or path.

    Raises:
        UsageError: Unknown, or it cannot be read.
    """
    if name in recipe_names():
        return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    if name.endswith(".toml"):
        return read_text(Path(name), _MOST_BYTES)
    raise UsageError(
        f"Unknown recipe {name!r}.",
        f"Known: {', '.join(recipe_names())}; or give the path of a .toml file.",
    )


def load_recipe(name: str) -> Recipe:
    """A recipe by name or path, with all that it extends.

    Raises:
        UsageError: Unknown, no TOML, of a newer schema, or it extends itself.
    """
    return _load(name, ())


def _load(name: str, below: tuple[str, ...]) -> Recipe:
    if name in below or len(below) >= _MOST_EXTENDED:
        raise UsageError(
            f"The recipe {name} extends itself: {' > '.join((*below, name))}.",
            "Take one extends out.",
        )
    content = _parsed(recipe_source(name), name)
    head = {key: content.pop(key) for key in _HEAD if key in content}
    _check_head(head, content, name)
    own = {table: dict(_flat(values)) for table, values in content.items()}
    base = head.get("extends")
    if base is None:
        tables: dict[str, Values] = dict(own)
    else:
        beside = Path(name).parent / str(base)
        where = str(beside) if str(base).endswith(".toml") else str(base)
        extended = _load(where, (*below, name)).tables
        tables = {
            table: {**extended.get(table, {}), **own.get(table, {})}
            for table in dict.fromkeys((*extended, *own))
        }
    return Recipe(
        name=name,
        description=str(head.get("description", "")),
        source=str(head.get("source", "")),
        tables=tables,
        own=tuple(own),
    )


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Python's own words for a number of thousands of digits advise to change a limit.
        reason = "a number is too long" if "limit" in str(error) else str(error).rstrip(".")
        raise UsageError(f"The recipe {name} is no TOML: {reason}.") from error


def _check_head(head: Mapping[str, Any], content: Mapping[str, Any], name: str) -> None:
    version = head.get("schema_version", RECIPE_SCHEMA)
    if type(version) is not int or version < 1:
        raise UsageError(f"The recipe {name} has no schema_version of 1 or more.")
    if version > RECIPE_SCHEMA:
        raise UsageError(
            f"The recipe {name} has schema {version}, newer than {RECIPE_SCHEMA}.",
            "Update the kit.",
        )
    loose = [key for key, value in content.items() if not isinstance(value, dict)]
    if loose:
        refuse_unknown(loose, _HEAD, f"the head of {name}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested tables as dotted keys."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", copy.copy(value)


def parse_setting(text: str) -> tuple[str, object]:
    """`key=value` as key and value; a value that is no TOML is a text.

    Raises:
        UsageError: There is no key, no equals sign or no value.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise UsageError(
            f"--set {text!r} is no key=value.", "Give for example --set cost.beta=0.9."
        )
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError, KeyError):  # a TOMLDecodeError is a ValueError
        return key, value


def _place(name: str, home: str, known: Known) -> tuple[str, str]:
    """Table and key of a setting."""
    table, dot, key = name.partition(".")
    if dot and table in known:
        refuse_unknown([key], known[table], table)
        return table, key
    for candidate in (home, "train"):
        if name in known.get(candidate, ()):
            return candidate, name
    others = [f"train.{key}" for key in known.get("train", ()) if home != "train"]
    refuse_unknown([name], [*known.get(home, ()), *others], home)
    return home, name
