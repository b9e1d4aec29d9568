"""What a shell completes: names that fit the letters typed.

Nothing slow is imported or read: a table is known by the name of its folder.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

_ROOT = Path("tables")
Completion = Callable[[str], list[str]]


def one_of(names: Callable[[], Iterable[str]]) -> Completion:
    """A completion of names that are asked for when they are needed."""

    def complete(incomplete: str) -> list[str]:
        return fitting(names(), incomplete)

    return complete


def names_or_files(suffix: str) -> Callable[[Callable[[], Iterable[str]]], Completion]:
    """A completion of names, and of files of a kind in the folder that the letters name."""

    def decorate(names: Callable[[], Iterable[str]]) -> Completion:
        def complete(incomplete: str) -> list[str]:
            folder, slash, _ = incomplete.rpartition("/")
            found = sorted(path.name for path in Path(folder + slash or ".").glob(f"*{suffix}"))
            files = [folder + slash + name for name in found]
            return fitting([*([] if slash else names()), *files], incomplete)

        return complete

    return decorate


def fitting(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin with the letters typed, each once."""
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def tables(incomplete: str) -> list[str]:
    """Words that name a table, and with a slash among the letters its path."""
    folders = sorted(path.parent for path in _ROOT.glob("*/*/manifest.json"))
    paths = [str(folder) for folder in folders]
    if "/" in incomplete:
        return fitting([*paths, *(f"{f.parent.name}/{f.name}" for f in folders)], incomplete)
    spaces = [re.split(r"-r\d", folder.name)[0] for folder in folders]
    return fitting([*(["latest"] if folders else []), *spaces, *paths], incomplete)
