"""What a shell completes: names that fit the letters typed.

Nothing slow is imported or read: a table is known by the name of its folder.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

_ROOT = Path("tables")


def one_of(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion of names that are asked for when they are needed."""

    def complete(incomplete: str) -> list[str]:
        return fitting(names(), incomplete)

    return complete


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
