"""What people see of a farm: phones, hosts, who waits, how far campaigns are."""

import sqlite3
from collections.abc import Callable

from device_agents.farm import health, tasks, waiting
from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import (
    CampaignStatus,
    HostStatus,
    Limits,
    PhoneStatus,
    Result,
    Waiting,
)


class Overview:
    """The questions of the registry that change nothing but what time has ended."""

    def __init__(self, journal: FarmJournal, limits: Limits, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._limits = limits
        self._clock = clock

    def _expire(self, database: sqlite3.Connection, now_s: float) -> None:
        ended = database.execute("SELECT key FROM leases WHERE expires_at_s <= ?", (now_s,))
        for (key,) in ended.fetchall():
            tasks.end_lease(database, key)

    def phones(self) -> list[PhoneStatus]:
        """All phones ever seen, by id."""
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            return health.statuses(database, now_s, self._limits)

    def hosts(self) -> list[HostStatus]:
        """All hosts ever heard of, by name."""
        now_s = self._clock()
        with self._journal.transaction() as database:
            return health.hosts(database, now_s)

    def waiting(self) -> list[Waiting]:
        """Who waits for a phone, first come first."""
        now_s = self._clock()
        with self._journal.transaction() as database:
            waiting.forget_silent(database, now_s - self._limits.ttl_s)
            return waiting.queue(database, now_s)

    def campaigns(self) -> list[CampaignStatus]:
        """Progress of every campaign."""
        with self._journal.transaction() as database:
            return tasks.progress(database)

    def members(self, campaign: str) -> list[tuple[int, str]]:
        """The phones of a campaign, by the number that each has there."""
        with self._journal.transaction() as database:
            return tasks.members(database, campaign)

    def results(self, campaign: str) -> list[Result]:
        """All results of a campaign, each with the phone that measured it."""
        with self._journal.transaction() as database:
            return tasks.results(database, campaign)
