"""Tables by a few words instead of their paths: `fbnet-mini`, `fbnet int8 v1`, `latest`.

A word that is a fact of a table (its space, dtype, backend, threads as `t1`,
version as `v1`, device, kind of device, source, `burst` or `sustained`) chooses by that
fact; any other one chooses by a part of device and name. Of each table only the newest version
is meant, unless a version is among the words; `latest` takes the one measured last.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from search.errors import TableError, UsageError
from search.table.manifest import Manifest
from search.table.store import MANIFEST, Table, read_manifest, read_table

ROOT = Path("tables")
LATEST = "latest"
LIST_THEM = "List them with: python -m profiler tables"
_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What a list of tables says of one; `problem` is why its manifest cannot be read."""

    path: Path
    device: str
    space: str = ""
    dtype: str = ""
    backend: str = ""
    threads: int | None = None
    created: datetime | None = None
    exam: str = ""
    version: int | None = None
    source: str = ""
    kind: str = ""
    state: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """Device and name, as below the folder of tables."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def facts(self) -> frozenset[str]:
        """The words that choose it by a fact."""
        words = {self.space, self.dtype, self.backend, self.device, self.kind, self.source}
        numbers = {f"t{self.threads}", f"v{self.version}"}
        return frozenset({*words, *numbers, self.state, self.path.name} - {""})

    @property
    def _line(self) -> tuple[str, str]:
        return self.path.parent.name, re.sub(r"-v\d+$", "", self.path.name)


def list_tables(root: Path = ROOT) -> tuple[TableFacts, ...]:
    """Every table under `<root>/<device>/`, by name; those that cannot be read with the reason."""
    return tuple(_facts(path.parent) for path in sorted(root.glob(f"*/*/{MANIFEST}")))


def _facts(folder: Path) -> TableFacts:
    number = re.search(r"-v(\d+)$", folder.name)
    version = int(number[1]) if number else None
    try:
        manifest = read_manifest(folder)
    except TableError as error:
        return TableFacts(
            path=folder, device=folder.parent.name, version=version, problem=error.message
        )
    return TableFacts(
        path=folder,
        device=manifest.device.id,
        space=re.split(r"-r\d", manifest.space.spec)[0],
        dtype=manifest.protocol.dtype,
        backend=manifest.runtime.backend,
        threads=manifest.protocol.threads,
        created=datetime.fromisoformat(manifest.created_utc),
        exam=_exam(manifest),
        version=version,
        source=manifest.source,
        kind=manifest.device.kind,
        state=manifest.load_state,
    )


def _exam(manifest: Manifest) -> str:
    if manifest.exam is None:
        return "none"
    return "passed" if manifest.exam.passed else "failed"


def matching(tables: Sequence[TableFacts], words: Sequence[str]) -> tuple[TableFacts, ...]:
    """The tables that all words fit; older versions only where a version is among the words."""
    found, known = list(tables), frozenset().union(*(table.facts for table in tables))
    for word in words:
        if word == LATEST:
            continue
        if word in known:
            found = [table for table in found if word in table.facts]
        else:
            found = [table for table in found if word in table.label]
    if not any(
        re.fullmatch(r"v\d+", word) or word.endswith(t.path.name) for word in words for t in found
    ):
        found = _newest_versions(found)
    if LATEST in words:
        dated = [table for table in found if table.created]
        found = sorted(dated, key=lambda table: str(table.created))[-1:]
    return tuple(found)


def _newest_versions(tables: Sequence[TableFacts]) -> list[TableFacts]:
    newest: dict[tuple[str, str], TableFacts] = {}
    for table in tables:
        other = newest.get(table._line)
        if other is None or (other.version or 0) < (table.version or 0):
            newest[table._line] = table
    return list(newest.values())


def find_table(named: Path | str, root: Path = ROOT) -> Path:
    """The folder of a table by its path, by its path below `root`, or by words.

    A path that leads to no table is given back: reading it says what is wrong.

    Raises:
        UsageError: No table fits the words, or more than one does; says which.
    """
    path = Path(named)
    for folder in (path, root / path):
        if (folder / MANIFEST).is_file():
            return folder
    words = re.split(r"[\s,]+", str(named).strip())
    if path.is_absolute() or len(path.parts) > 1 or not any(words):
        return path
    tables = list_tables(root)
    found = matching(tables, words)
    if len(found) == 1:
        return found[0].path
    if path.exists():
        return path
    if not found:
        raise UsageError(
            f"{str(named)!r} is not a table: there is no such folder, and no table below {root} "
            "fits it.",
            LIST_THEM,
        )
    raise UsageError(
        f"{len(found)} tables fit {str(named)!r}:\n{_labels(found)}",
        "\nAdd a word that only one of them has, its version, or 'latest'.",
    )


def read_named(named: Path | str, root: Path = ROOT) -> Table:
    """Read and verify a table by path or words.

    Raises:
        UsageError: As `find_table`.
        TableError: As `read_table`.
    """
    return read_table(find_table(named, root))


def _labels(tables: Sequence[TableFacts]) -> str:
    named = [table.label for table in tables[:_NAMED]]
    more = len(tables) - len(named)
    return "\n".join(f"  {text}" for text in (*named, *([f"and {more} more"] if more else [])))
