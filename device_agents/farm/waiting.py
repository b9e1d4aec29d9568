"""Who waits for a phone of a model, in the order of asking; inside transactions of the registry."""

import sqlite3

from device_agents.farm.model import Waiting


def note(database: sqlite3.Connection, request: str, owner: str, model: str, now_s: float) -> None:
    """Keep a request's place in the queue; who stops asking loses it."""
    database.execute(
        "INSERT INTO waiting VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (request) DO UPDATE SET seen_at_s = excluded.seen_at_s",
        (request, owner, model, now_s, now_s),
    )


def leave(database: sqlite3.Connection, request: str) -> None:
    """Leave the queue; nothing if it never was there."""
    database.execute("DELETE FROM waiting WHERE request = ?", (request,))


def forget_silent(database: sqlite3.Connection, since_s: float) -> None:
    """Drop those who have not asked since then."""
    database.execute("DELETE FROM waiting WHERE seen_at_s <= ?", (since_s,))


def ahead(database: sqlite3.Connection, request: str, model: str) -> int:
    """How many wait for such a phone and asked before this request."""
    row = database.execute("SELECT rowid FROM waiting WHERE request = ?", (request,)).fetchone()
    limit = row[0] if row else 2**62
    (count,) = database.execute(
        "SELECT count(*) FROM waiting WHERE model = ? AND rowid < ?", (model, limit)
    ).fetchone()
    return int(count)


def queue(database: sqlite3.Connection, now_s: float) -> list[Waiting]:
    """All who wait, first come first."""
    rows = database.execute("SELECT owner, model, since_s FROM waiting ORDER BY rowid")
    return [
        Waiting(owner=owner, model=model, for_s=max(0.0, now_s - since_s))
        for owner, model, since_s in rows
    ]
