"""A registry and a gate with errors that a history must find."""

from dataclasses import replace
from typing import Any

from device_agents.farm.fence import Gate
from device_agents.farm.model import Lease, Result
from device_agents.farm.registry import Registry


class CarelessGate(Gate):
    """Planted: the token is not looked at."""

    def open(self, token: int) -> None:
        pass

    def check(self, token: int) -> None:
        pass


class CarelessRegistry(Registry):
    """Planted: a result is kept whoever's the phone is by now."""

    def submit(self, key: str, result: Result) -> bool:
        with self._journal.transaction() as database:
            task = result.task
            database.execute(
                "INSERT OR IGNORE INTO results (campaign, item, pass, wanted, phone, token, "
                "content) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(task.campaign, task.item, task.pass_number, task.phone),
                    *(result.phone, result.token, result.content),
                ),
            )
            database.execute(
                "UPDATE tasks SET done = 1, holder = NULL WHERE campaign = ? AND item = ? "
                "AND pass = ?",
                (task.campaign, task.item, task.pass_number),
            )
        return True


class PatientRegistry(Registry):
    """Planted: a lease ends only when it is given back."""

    def _expire(self, database: Any, now_s: float) -> None:
        pass


class CountingRegistry(Registry):
    """Planted: tokens are counted phone by phone, also where one phone stands as two."""

    def _grant(self, database: Any, phone: str, *arguments: Any) -> Lease:
        before = "SELECT token FROM phones WHERE id = ?"
        token = database.execute(before, (phone,)).fetchone()[0] + 1
        lease = super()._grant(database, phone, *arguments)
        database.execute("UPDATE phones SET token = ? WHERE id = ?", (token, phone))
        database.execute("UPDATE leases SET token = ? WHERE key = ?", (token, lease.key))
        return replace(lease, token=token)
