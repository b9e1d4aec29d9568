"""Phones in the journal: which sightings are one phone, and which phones may be used.

Every function runs inside a transaction of the registry.
"""

import sqlite3

from device_agents.farm import tasks
from device_agents.farm.model import (
    Health,
    HostStatus,
    Limits,
    PhoneStatus,
    Sighting,
    Way,
)

_COLUMNS = "id, model, temperature_c, battery_percent, quarantine"
_Row = tuple[str, str, float | None, float | None, str | None]


def take_over(database: sqlite3.Connection, sighting: Sighting) -> None:
    """Note one way to a phone; sightings with a mark in common are one phone."""
    places = ", ".join("?" * len(sighting.marks))
    known = database.execute(
        f"SELECT DISTINCT phone FROM marks WHERE mark IN ({places}) ORDER BY phone",  # noqa: S608
        sorted(sighting.marks),
    )
    phones = [phone for (phone,) in known.fetchall()] or [min(sighting.marks)]
    phone = phones[0]
    database.execute(
        "INSERT OR IGNORE INTO phones (id, model, token) VALUES (?, ?, 0)", (phone, sighting.model)
    )
    for other in phones[1:]:
        _merge(database, phone, other)
    database.executemany(
        "INSERT OR REPLACE INTO marks VALUES (?, ?)", [(mark, phone) for mark in sighting.marks]
    )
    database.execute(
        "INSERT OR REPLACE INTO ways VALUES (?, ?, ?, ?)",
        (sighting.host, sighting.address, sighting.connection, phone),
    )
    database.execute(
        "UPDATE phones SET model = ?, temperature_c = coalesce(?, temperature_c), "
        "battery_percent = coalesce(?, battery_percent) WHERE id = ?",
        (sighting.model, sighting.temperature_c, sighting.battery_percent, phone),
    )
    _catch_up(database, phone, sighting.fence)


def _catch_up(database: sqlite3.Connection, phone: str, fence: int) -> None:
    """Go on from the token on the phone, where the journal is an older copy."""
    (token,) = database.execute("SELECT token FROM phones WHERE id = ?", (phone,)).fetchone()
    if fence > token:
        _end_leases_of(database, phone)
        database.execute("UPDATE phones SET token = ? WHERE id = ?", (fence, phone))


def _merge(database: sqlite3.Connection, phone: str, other: str) -> None:
    """Two known phones turn out to be one: both leases end, the larger token counts."""
    _end_leases_of(database, phone)
    _end_leases_of(database, other)
    database.execute(
        "UPDATE phones SET token = max(token, (SELECT token FROM phones WHERE id = ?)), "
        "quarantine = coalesce(quarantine, (SELECT quarantine FROM phones WHERE id = ?)) "
        "WHERE id = ?",
        (other, other, phone),
    )
    # What was asked of both, or measured by both, is kept once; a result keeps its name.
    for table in ("marks", "ways", "results", "tasks", "members"):
        database.execute(f"UPDATE OR IGNORE {table} SET phone = ? WHERE phone = ?", (phone, other))  # noqa: S608
    database.execute("DELETE FROM tasks WHERE phone = ? AND done = 0", (other,))
    database.execute("DELETE FROM members WHERE phone = ?", (other,))
    database.execute("DELETE FROM phones WHERE id = ?", (other,))


def _end_leases_of(database: sqlite3.Connection, phone: str) -> None:
    held = database.execute("SELECT key FROM leases WHERE phone = ?", (phone,)).fetchall()
    for (key,) in held:
        tasks.end_lease(database, key)


def quarantine(database: sqlite3.Connection, phone: str, reason: str) -> bool:
    """Bar a phone from all but probes; False where there is no such phone."""
    changed = database.execute("UPDATE phones SET quarantine = ? WHERE id = ?", (reason, phone))
    return bool(changed.rowcount)


def end_quarantine(database: sqlite3.Connection, phone: str) -> None:
    """Let a phone back into use."""
    database.execute("UPDATE phones SET quarantine = NULL, failures = 0 WHERE id = ?", (phone,))


def count_failure(database: sqlite3.Connection, phone: str, reason: str, most: int) -> None:
    """Count a failed task; the `most`-th in a row bars the phone."""
    database.execute("UPDATE phones SET failures = failures + 1 WHERE id = ?", (phone,))
    database.execute(
        "UPDATE phones SET quarantine = ? WHERE id = ? AND failures >= ? AND quarantine IS NULL",
        (f"{most} failures in a row, the last: {reason}", phone, most),
    )


def free_phones(
    database: sqlite3.Connection, model: str, wanted: Health, since_s: float, limits: Limits
) -> list[str]:
    """The phones in this health that nobody holds, the least used first.

    A host that is drained gives its phones to nobody.
    """
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM phones WHERE model = ? "  # noqa: S608
        "AND id NOT IN (SELECT phone FROM leases) ORDER BY token, id",
        (model,),
    )
    reachable = _reachable(database, since_s, and_not_drained=True)
    # Whether a barred phone can be reached matters to a probe too.
    return [
        str(row[0])
        for row in rows
        if row[0] in reachable and _health(row, True, limits)[0] == wanted
    ]


_HOSTS_WAYS = "FROM ways JOIN hosts ON hosts.id = ways.host WHERE seen_at_s > ?"


def _reachable(
    database: sqlite3.Connection, since_s: float, *, and_not_drained: bool = False
) -> set[str]:
    rows = database.execute(
        f"SELECT DISTINCT phone {_HOSTS_WAYS} AND is_drained <= ?",
        (since_s, 0 if and_not_drained else 1),
    )
    return {phone for (phone,) in rows}


def best_way(database: sqlite3.Connection, phone: str, since_s: float) -> Way | None:
    """A way to a phone that works: a cable before the network, a host in use before a drained."""
    row = database.execute(
        f"SELECT host, address, connection {_HOSTS_WAYS} AND phone = ? "
        "ORDER BY is_drained, connection DESC, host, address LIMIT 1",
        (since_s, phone),
    ).fetchone()
    return Way(host=row[0], address=row[1], connection=row[2]) if row else None


def hosts(database: sqlite3.Connection, now_s: float) -> list[HostStatus]:
    """All hosts ever heard of."""
    rows = database.execute("SELECT id, seen_at_s, is_drained FROM hosts ORDER BY id")
    return [
        HostStatus(host=host, seen_s_ago=max(0.0, now_s - seen), is_drained=bool(is_drained))
        for host, seen, is_drained in rows
    ]


def _health(row: _Row, is_reachable: bool, limits: Limits) -> tuple[Health, str]:
    _, _, temperature_c, battery_percent, barred = row
    if barred is not None:
        return "quarantined", barred
    if not is_reachable:
        return "lost", "no host sees it"
    if temperature_c is not None and temperature_c > limits.most_c:
        return "hot", f"{temperature_c:g} C, above {limits.most_c:g}"
    if battery_percent is not None and battery_percent < limits.least_battery_percent:
        return "low_battery", f"{battery_percent:g} %, below {limits.least_battery_percent:g}"
    return "ready", ""


def statuses(database: sqlite3.Connection, now_s: float, limits: Limits) -> list[PhoneStatus]:
    """All phones as people see them."""
    ways: dict[str, list[str]] = {}
    for host, address, connection, phone in database.execute(
        "SELECT host, address, connection, phone FROM ways ORDER BY connection DESC, host"
    ):
        ways.setdefault(phone, []).append(f"{host} {connection} {address}")
    leases = {
        phone: (owner, ends_s - now_s)
        for phone, owner, ends_s in database.execute(
            "SELECT phone, owner, expires_at_s FROM leases"
        )
    }
    reachable = _reachable(database, now_s - limits.ttl_s)
    found = []
    for row in database.execute(f"SELECT {_COLUMNS} FROM phones ORDER BY id").fetchall():  # noqa: S608
        owner, left_s = leases.get(row[0], (None, None))
        state, reason = _health(row, row[0] in reachable, limits)
        found.append(
            PhoneStatus(
                phone=row[0],
                model=row[1],
                health=state,
                reason=reason,
                ways=tuple(ways.get(row[0], ())),
                temperature_c=row[2],
                battery_percent=row[3],
                owner=owner,
                expires_in_s=left_s,
            )
        )
    return found
