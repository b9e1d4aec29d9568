"""The journal: everything measured, on disk as soon as it arrives.

One sqlite file a campaign. A block is identified by (item, pass, round), so
nothing is counted twice; what a killed run wrote is there for `--resume`.
"""

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from device_agents.protocol import Hello, Sample, Sentinel
from profiler.analysis.blocks import TimedBlock
from profiler.settings import CampaignSettings
from search.errors import StorageError, UsageError
from search.table.values import MOST_COUNT

JOURNAL_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    item TEXT NOT NULL, pass INTEGER NOT NULL, round INTEGER NOT NULL,
    loops INTEGER NOT NULL, ns INTEGER NOT NULL, first_ns INTEGER,
    switches INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    freq_khz INTEGER, temperature_mc INTEGER,
    PRIMARY KEY (item, pass, round));
CREATE TABLE IF NOT EXISTS sentinels (
    pass INTEGER NOT NULL, at_ns INTEGER NOT NULL, loops INTEGER NOT NULL,
    ns INTEGER NOT NULL, switches INTEGER NOT NULL, temperature_mc INTEGER);
CREATE TABLE IF NOT EXISTS failures (
    item TEXT PRIMARY KEY, kind TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS placements (
    item TEXT NOT NULL, placement TEXT NOT NULL, PRIMARY KEY (item, placement));
CREATE TABLE IF NOT EXISTS hellos (nonce TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


def _whole(column: str, least: int, *, unknown: bool = False) -> str:
    """SQL for: this column holds a whole number of at least this, or null where that may be."""
    known = f"(typeof({column}) = 'integer' AND {column} BETWEEN {least} AND {MOST_COUNT})"
    return f"({column} IS NULL OR {known})" if unknown else known


_POSSIBLE = {
    "blocks": " AND ".join(
        (
            "typeof(item) = 'text'",
            *(_whole(name, 0) for name in ("pass", "round", "switches", "at_ns")),
            *(_whole(name, 1) for name in ("loops", "ns")),
            *(_whole(name, 0, unknown=True) for name in ("first_ns", "freq_khz")),
            _whole("temperature_mc", -300_000, unknown=True),
        )
    ),
    "sentinels": " AND ".join(
        (
            *(_whole(name, 0) for name in ("pass", "at_ns", "switches")),
            *(_whole(name, 1) for name in ("loops", "ns")),
            _whole("temperature_mc", -300_000, unknown=True),
        )
    ),
}


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Report a full, read-only or failing disk as a `StorageError`; around every write."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise StorageError(
            f"Cannot write the journal {path}: {reason or error}.",
            "Make room, then run the same command with --resume; what was written is kept.",
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailure:
    """Why an item has no measurement."""

    kind: str
    message: str


class Journal:
    """Append-only record of one campaign.

    Every method that writes raises `StorageError` where the disk is full,
    read-only or failing; what was written before is kept.

    Raises:
        UsageError: The file is damaged, newer, or of another campaign.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        with _storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            with self._writing() as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.executescript(_TABLES)
            self._check(identity)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise UsageError(
                f"The journal {path} is damaged: {error}.",
                "Start again with --restart (what it held is lost), or restore the file.",
            ) from error
        except BaseException:
            self._connection.close()
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The connection to write with; the only way to it for a statement that writes."""
        with _storage_errors(self.path):
            yield self._connection

    def _check(self, identity: str) -> None:
        expected = {"schema": str(JOURNAL_SCHEMA), "identity": identity}
        for name, value in expected.items():
            stored = self.fact(name)
            if stored is None:
                self.set_fact(name, value)
            elif stored != value:
                raise UsageError(
                    f"The journal {self.path} is of another campaign ({name} {stored}).",
                    "Use the settings it was begun with, or another --output.",
                )
        result = self._connection.execute("PRAGMA quick_check").fetchone()
        if result[0] != "ok":
            raise sqlite3.DatabaseError(str(result[0]))
        self._check_values()

    def _check_values(self) -> None:
        """Refuse values that no runner can have sent: SQLite would keep anything anywhere."""
        for table, rule in _POSSIBLE.items():
            query = f"SELECT COUNT(*) FROM {table} WHERE NOT ({rule})"  # noqa: S608 (constants)
            (wrong,) = self._connection.execute(query).fetchone()
            if wrong:
                raise sqlite3.DatabaseError(f"{wrong} of its {table} hold impossible values")
        try:
            self.hellos()
            spent_s = float(self.fact("measuring_s") or 0)
            if not 0 <= spent_s < math.inf:
                raise ValueError
        except ValueError as error:
            what = "a runner's greeting or the time spent cannot be read"
            raise sqlite3.DatabaseError(what) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An error on the way out must not hide the one that led there.
        with contextlib.nullcontext() if kind is None else contextlib.suppress(StorageError):
            self.close()

    def close(self) -> None:
        """Flush and close; further calls fail."""
        # Where the flush fails, the next run reads the same rows from the -wal file.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with self._writing() as connection:
            connection.close()

    def delete(self) -> None:
        """Close and remove the file; its content is in a table."""
        self.close()
        with _storage_errors(self.path):
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    @property
    def is_empty(self) -> bool:
        """True while nothing was measured and no item has failed."""
        rows = "SELECT 1 FROM blocks UNION ALL SELECT 1 FROM failures LIMIT 1"
        return self._connection.execute(rows).fetchone() is None

    # --- facts

    def fact(self, name: str) -> str | None:
        """A stored fact; None for one that never was."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Store a fact, replacing an older value."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def facts_beginning(self, prefix: str) -> dict[str, str]:
        """The facts whose names begin with this, by the rest of their names."""
        rows = self._connection.execute("SELECT name, value FROM facts ORDER BY rowid").fetchall()
        return {
            str(name).removeprefix(prefix): str(value)
            for name, value in rows
            if str(name).startswith(prefix)
        }

    # --- results of a run

    def add(
        self,
        pass_number: int,
        samples: Sequence[tuple[str, int, Sample]],
        sentinels: Iterable[Sentinel],
    ) -> None:
        """Store samples as (item, round, sample) and sentinels, all or none."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO blocks VALUES (?,?,?,?,?,?,?,?,?,?)",
                [
                    (
                        *(item, pass_number, number, s.loops, s.ns, s.first_ns),
                        *(s.switches, s.at_ns, s.freq_khz, s.temperature_mc),
                    )
                    for item, number, s in samples
                ],
            )
            connection.executemany(
                "INSERT INTO sentinels VALUES (?,?,?,?,?,?)",
                [
                    (pass_number, s.at_ns, s.loops, s.ns, s.switches, s.temperature_mc)
                    for s in sentinels
                ],
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def add_failure(self, item: str, kind: str, message: str) -> None:
        """Store why an item cannot be measured."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO failures VALUES (?,?,?)", (item, kind, message)
            )

    def add_placement(self, item: str, placement: str) -> None:
        """Store where an item was placed when it was loaded."""
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO placements VALUES (?,?)", (item, placement))

    def placements(self) -> dict[str, frozenset[str]]:
        """Every placement that was seen, by item; unknown ones are left out."""
        placements: dict[str, set[str]] = {}
        for item, placement in self._connection.execute("SELECT item, placement FROM placements"):
            placements.setdefault(str(item), set()).add(str(placement))
        return {item: frozenset(seen) for item, seen in placements.items()}

    def add_hello(self, hello: Hello) -> None:
        """Store the hello of a runner; a known one is left as it is."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO hellos VALUES (?,?)", (hello.nonce, hello.model_dump_json())
            )

    # --- reading back

    def rounds_done(self, pass_number: int) -> dict[str, int]:
        """Blocks that each item has in a pass."""
        rows = self._connection.execute(
            "SELECT item, COUNT(*) FROM blocks WHERE pass = ? GROUP BY item", (pass_number,)
        )
        return {str(item): int(number) for item, number in rows}

    def blocks(self) -> dict[str, list[TimedBlock]]:
        """All blocks by item, in order of time."""
        rows = self._connection.execute(
            "SELECT item, pass, round, loops, ns, first_ns, switches, at_ns, freq_khz FROM blocks "
            "ORDER BY item, pass, round"
        )
        blocks: dict[str, list[TimedBlock]] = {}
        for item, pass_number, number, loops, ns, first_ns, switches, at_ns, freq_khz in rows:
            block = TimedBlock(
                pass_number=pass_number,
                round=number,
                loops=loops,
                ns=ns,
                first_ns=first_ns,
                switches=switches,
                at_ns=at_ns,
                freq_khz=freq_khz,
            )
            blocks.setdefault(str(item), []).append(block)
        return blocks

    def sentinels(self) -> tuple[list[int], list[float]]:
        """Times (ns) and values (us per call) of undisturbed sentinels."""
        rows = self._connection.execute(
            "SELECT at_ns, ns, loops FROM sentinels WHERE switches = 0 ORDER BY rowid"
        ).fetchall()
        return [int(row[0]) for row in rows], [row[1] / row[2] / 1e3 for row in rows]

    def numbers(self, step_ns: int) -> dict[str, tuple[int, ...]]:
        """By item, which of several clocks its blocks are of: number k begins at k steps."""
        rows = self._connection.execute(
            "SELECT DISTINCT item, at_ns / ? FROM blocks ORDER BY 1, 2", (step_ns,)
        )
        found: dict[str, tuple[int, ...]] = {}
        for item, number in rows:
            found[str(item)] = (*found.get(str(item), ()), int(number))
        return found

    def hottest_c(self) -> float | None:
        """Highest temperature that any block reported."""
        row = self._connection.execute("SELECT MAX(temperature_mc) FROM blocks").fetchone()
        return None if row[0] is None else row[0] / 1000

    def failures(self) -> dict[str, ItemFailure]:
        """Why each failed item has no measurement, by item."""
        rows = self._connection.execute("SELECT item, kind, message FROM failures")
        return {
            str(item): ItemFailure(kind=str(kind), message=str(message))
            for item, kind, message in rows
        }

    def hellos(self) -> list[Hello]:
        """The hello of every runner that took part."""
        rows = self._connection.execute("SELECT content FROM hellos").fetchall()
        return [Hello.model_validate_json(row[0]) for row in rows]

    def raw(self) -> list[tuple[object, ...]]:
        """Every block as stored, for the table's samples."""
        return self._connection.execute("SELECT * FROM blocks ORDER BY pass, at_ns").fetchall()


def journal_path(output: Path, settings: CampaignSettings) -> Path:
    """The journal of an unfinished campaign with these settings."""
    return output / ".journal" / f"{settings.device}-{settings.identity}.sqlite"


def require_unfinished(path: Path) -> None:
    """Refuse to resume what was never begun, or is finished.

    Raises:
        UsageError: There is no such journal.
    """
    if not path.exists():
        raise UsageError(
            "There is no unfinished campaign with these settings to resume.",
            "Leave --resume out, or use the settings it was begun with.",
        )
