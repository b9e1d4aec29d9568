"""Tasks and results in the journal; every function runs inside a transaction of the registry."""

import sqlite3
from collections.abc import Iterable

from device_agents.farm.model import CampaignStatus, LeaseLost, Result, Task

_KEY = "campaign = ? AND item = ? AND pass = ? AND phone = ?"


def queue(database: sqlite3.Connection, wanted: Iterable[Task]) -> int:
    """Add tasks that are not known yet; how many they were."""
    rows = [_key_of(task) for task in wanted]
    added = database.executemany(
        "INSERT OR IGNORE INTO tasks (campaign, item, pass, phone) VALUES (?, ?, ?, ?)", rows
    )
    return added.rowcount if rows else 0


def claim(database: sqlite3.Connection, key: str, phone: str, campaign: str) -> Task | None:
    """The task that this lease has, or the next one that its phone may run."""
    columns = "SELECT campaign, item, pass, phone FROM tasks WHERE"
    row = database.execute(f"{columns} holder = ?", (key,)).fetchone()
    if row is None:
        row = database.execute(
            f"{columns} campaign = ? AND done = 0 AND holder IS NULL AND phone IN (?, '') "
            "ORDER BY phone DESC, pass, item LIMIT 1",
            (campaign, phone),
        ).fetchone()
        if row is None:
            return None
        database.execute(f"UPDATE tasks SET holder = ? WHERE {_KEY}", (key, *row))  # noqa: S608
    return Task(campaign=row[0], item=row[1], pass_number=row[2], phone=row[3])


def is_kept(database: sqlite3.Connection, result: Result) -> bool:
    """Whether this phone's result of this task, of this lease, is in the journal."""
    row = database.execute(
        "SELECT token FROM results WHERE campaign = ? AND item = ? AND pass = ? AND wanted = ? "
        "AND phone = ?",
        (*_key_of(result.task), result.phone),
    ).fetchone()
    return row is not None and row[0] == result.token


def keep(database: sqlite3.Connection, key: str, result: Result) -> None:
    """Store a result and close its task, which must be this lease's.

    Raises:
        LeaseLost: The task is done, or another lease has it.
    """
    changed = database.execute(
        f"UPDATE tasks SET done = 1, holder = NULL WHERE {_KEY} AND done = 0 AND holder = ?",  # noqa: S608
        (*_key_of(result.task), key),
    )
    if not changed.rowcount:
        raise LeaseLost(
            f"{result.task.item} in pass {result.task.pass_number} is not this lease's task.",
            "Claim the next task.",
        )
    database.execute(
        "INSERT INTO results (campaign, item, pass, wanted, phone, token, content) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*_key_of(result.task), result.phone, result.token, result.content),
    )


def give_back(database: sqlite3.Connection, key: str) -> None:
    """Queue the unfinished task of a lease again."""
    database.execute("UPDATE tasks SET holder = NULL WHERE holder = ?", (key,))


def end_lease(database: sqlite3.Connection, key: str) -> None:
    """Free the phone of a lease and queue its task again; nothing if it has ended."""
    give_back(database, key)
    database.execute("DELETE FROM leases WHERE key = ?", (key,))


def progress(database: sqlite3.Connection) -> list[CampaignStatus]:
    """Tasks of each campaign by state."""
    rows = database.execute(
        "SELECT known.campaign, total(done = 0 AND holder IS NULL), "
        "total(done = 0 AND holder NOT NULL), total(done), "
        "coalesce(owner, ''), coalesce(stage, '') "
        "FROM (SELECT campaign FROM tasks UNION SELECT campaign FROM stages) AS known "
        "LEFT JOIN tasks ON tasks.campaign = known.campaign "
        "LEFT JOIN stages ON stages.campaign = known.campaign "
        "GROUP BY known.campaign ORDER BY known.campaign"
    )
    by_phone: dict[str, list[tuple[str, int]]] = {}
    for campaign, phone, done in database.execute(
        "SELECT campaign, phone, count(*) FROM results GROUP BY campaign, phone ORDER BY phone"
    ):
        by_phone.setdefault(campaign, []).append((phone, done))
    return [
        CampaignStatus(
            campaign=campaign,
            queued=int(queued),
            running=int(running),
            done=int(done),
            owner=owner,
            stage=stage,
            phones=tuple(by_phone.get(campaign, ())),
        )
        for campaign, queued, running, done, owner, stage in rows
    ]


def note_stage(database: sqlite3.Connection, campaign: str, owner: str, stage: str) -> None:
    """Keep what a campaign's holder says of how far it is; the last word counts."""
    database.execute("INSERT OR REPLACE INTO stages VALUES (?, ?, ?)", (campaign, owner, stage))


def results(database: sqlite3.Connection, campaign: str) -> list[Result]:
    """Results of a campaign by item, pass and phone."""
    rows = database.execute(
        "SELECT campaign, item, pass, wanted, phone, token, content FROM results "
        "WHERE campaign = ? ORDER BY item, pass, phone",
        (campaign,),
    )
    return [
        Result(
            task=Task(campaign=row[0], item=row[1], pass_number=row[2], phone=row[3]),
            phone=row[4],
            token=row[5],
            content=row[6],
        )
        for row in rows
    ]


def number_of(database: sqlite3.Connection, campaign: str, phone: str) -> int:
    """A phone's number within a campaign; the next one where it has none yet."""
    database.execute(
        "INSERT OR IGNORE INTO members SELECT ?, ?, "
        "(SELECT coalesce(max(number) + 1, 0) FROM members WHERE campaign = ?)",
        (campaign, phone, campaign),
    )
    (number,) = database.execute(
        "SELECT number FROM members WHERE campaign = ? AND phone = ?", (campaign, phone)
    ).fetchone()
    return int(number)


def members(database: sqlite3.Connection, campaign: str) -> list[tuple[int, str]]:
    """Numbers and phones of a campaign, by number."""
    rows = database.execute(
        "SELECT number, phone FROM members WHERE campaign = ? ORDER BY number", (campaign,)
    )
    return [(int(number), str(phone)) for number, phone in rows]


def forget_open(database: sqlite3.Connection, campaign: str, phone: str) -> None:
    """Drop the open tasks of a campaign: those of one phone, or all where none is named."""
    database.execute(
        "DELETE FROM tasks WHERE campaign = ? AND done = 0 AND ? IN (phone, '')", (campaign, phone)
    )


def forget(database: sqlite3.Connection, campaign: str) -> None:
    """Drop all that is kept of a campaign."""
    for table in ("tasks", "results", "members", "stages"):
        database.execute(f"DELETE FROM {table} WHERE campaign = ?", (campaign,))  # noqa: S608


def _key_of(task: Task) -> tuple[str, str, int, str]:
    return (task.campaign, task.item, task.pass_number, task.phone)
