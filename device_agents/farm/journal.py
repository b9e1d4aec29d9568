"""The registry's memory: one sqlite file, changed in whole transactions alone."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import filelock

from search.errors import StorageError, UsageError

FARM_SCHEMA = 2
_TABLES = """
CREATE TABLE phones (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, token INTEGER NOT NULL,
    temperature_c REAL, battery_percent REAL,
    quarantine TEXT, failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE marks (mark TEXT PRIMARY KEY, phone TEXT NOT NULL);
CREATE TABLE hosts (
    id TEXT PRIMARY KEY, seen_at_s REAL NOT NULL, is_drained INTEGER NOT NULL DEFAULT 0);
CREATE TABLE ways (
    host TEXT NOT NULL, address TEXT NOT NULL, connection TEXT NOT NULL, phone TEXT NOT NULL,
    PRIMARY KEY (host, address));
CREATE TABLE leases (
    key TEXT PRIMARY KEY, request TEXT NOT NULL UNIQUE, phone TEXT NOT NULL UNIQUE,
    token INTEGER NOT NULL, owner TEXT NOT NULL, purpose TEXT NOT NULL,
    expires_at_s REAL NOT NULL);
CREATE TABLE tasks (
    campaign TEXT NOT NULL, item TEXT NOT NULL, pass INTEGER NOT NULL, phone TEXT NOT NULL,
    holder TEXT, done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign, item, pass, phone));
CREATE TABLE results (
    phone TEXT NOT NULL, campaign TEXT NOT NULL, item TEXT NOT NULL, pass INTEGER NOT NULL,
    wanted TEXT NOT NULL, token INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (phone, campaign, item, pass, wanted));
CREATE TABLE waiting (
    request TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, model TEXT NOT NULL,
    since_s REAL NOT NULL, seen_at_s REAL NOT NULL);
CREATE TABLE members (
    campaign TEXT NOT NULL, phone TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (campaign, phone));
CREATE INDEX open_tasks ON tasks (campaign, done, holder);
CREATE INDEX held_tasks ON tasks (holder);
"""

# What each schema brought to the one before; the first stands above.
_STEPS = {
    1: "CREATE TABLE stages (campaign TEXT PRIMARY KEY, owner TEXT NOT NULL, stage TEXT NOT NULL);"
}


@contextlib.contextmanager
def journal_lock(path: Path) -> Iterator[None]:
    """Keep a second farm from the same journal; the system frees it even after kill -9.

    Raises:
        UsageError: Another farm keeps its leases there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path.with_name(f"{path.name}.lock")).acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise UsageError(
            f"Another farm keeps its leases in {path}.",
            "Join that one (its farm start printed the address), or name another --journal.",
        ) from error


class FarmJournal:
    """Phones, leases, tasks and results on disk; a killed registry goes on from there.

    Args:
        path: The sqlite file; made if it is not there. `:memory:` keeps nothing.
        any_thread: Whether threads other than this one may use it, one at a time.

    Raises:
        UsageError: The file is no journal of a farm, or a newer one.
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path | str, *, any_thread: bool = False) -> None:
        self._path = path
        with self._storage_errors():
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=not any_thread
            )
            try:
                self._prepare()
            except sqlite3.DatabaseError as error:
                self._database.close()
                if isinstance(error, sqlite3.OperationalError):
                    raise
                raise self._refused("is damaged, or no journal of a farm") from error
            except BaseException:
                self._database.close()
                raise

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > FARM_SCHEMA:
            raise self._refused(f"has schema {version}; this kit reads up to {FARM_SCHEMA}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        known = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and known != (0,):
            raise self._refused("is no journal of a farm")
        if version < FARM_SCHEMA:
            new = ("" if version else _TABLES) + "".join(
                _STEPS[step] for step in range(max(version, 1), FARM_SCHEMA)
            )
            script = f"BEGIN IMMEDIATE; {new} PRAGMA user_version = {FARM_SCHEMA}; COMMIT;"
            self._database.executescript(script)

    def _refused(self, what: str) -> UsageError:
        return UsageError(
            f"{self._path} {what}.", "Name another file; it is made if it is not there."
        )

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"Cannot use the farm's journal {self._path}: {error}.",
                "Make room or choose another file; what was written is kept.",
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes made inside, or none of them.

        Raises:
            StorageError: The disk is full, read-only or failing, or another registry writes.
        """
        with self._storage_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let the file go; works twice."""
        self._database.close()
