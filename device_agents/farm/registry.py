"""The registry: which phone is whose, and what has been measured. One owner of the journal.

Time is read from one monotonic clock. A restart begins a new one, so every lease that was alive
lives one more time to live; nothing else is forgotten.
"""

import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence

from device_agents.farm import health, tasks, waiting
from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import (
    Health,
    Lease,
    LeaseLost,
    Limits,
    Purpose,
    Result,
    Sighting,
    Task,
    Way,
)
from device_agents.farm.overview import Overview
from search.errors import UsageError


class Registry(Overview):
    """Phones, their leases, and the tasks of campaigns.

    Every call is one transaction: a crash leaves all of it or nothing. Every call may be sent
    again; the second one changes nothing.

    Args:
        journal: Its memory.
        limits: Time to live of leases, and when phones rest.
        clock: Seconds, never going back.
        new_key: Makes the secret of a lease.
    """

    def __init__(
        self,
        journal: FarmJournal,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        new_key: Callable[[], str] = secrets.token_hex,
    ) -> None:
        super().__init__(journal, limits or Limits(), clock)
        self._new_key = new_key
        now_s = clock()
        with journal.transaction() as database:
            database.execute("UPDATE leases SET expires_at_s = ?", (now_s + self._limits.ttl_s,))
            database.execute("UPDATE hosts SET seen_at_s = ?", (now_s,))
            database.execute("UPDATE waiting SET since_s = ?, seen_at_s = ?", (now_s, now_s))

    # --- phones

    def see(self, host: str, sightings: Sequence[Sighting]) -> list[str]:
        """Take over what a host sees now, all of it; return the id of each sighting's phone.

        A phone that two hosts see, or one host over USB and over Wi-Fi, is one phone.

        Raises:
            UsageError: A sighting is of another host.
        """
        if any(sighting.host != host for sighting in sightings):
            raise UsageError(
                f"{host} reports what another host sees.", "Each host reports its own phones."
            )
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            database.execute(
                "INSERT INTO hosts (id, seen_at_s) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET seen_at_s = excluded.seen_at_s",
                (host, now_s),
            )
            database.execute("DELETE FROM ways WHERE host = ?", (host,))
            for sighting in sightings:
                health.take_over(database, sighting)
            owners = "SELECT phone FROM ways WHERE host = ? AND address = ?"
            return [
                database.execute(owners, (host, sighting.address)).fetchone()[0]
                for sighting in sightings
            ]

    def quarantine(self, phone: str, reason: str) -> None:
        """Take a phone out of use until a probe has measured what was expected.

        Raises:
            UsageError: There is no such phone.
        """
        with self._journal.transaction() as database:
            if not health.quarantine(database, phone, reason):
                raise UsageError(f"No phone {phone} in this farm.", "See farm status for its ids.")

    def drain(self, host: str, is_drained: bool) -> None:
        """Give no phone of a host to anybody anew, or do so again; leases go on.

        Raises:
            UsageError: There is no such host.
        """
        with self._journal.transaction() as database:
            changed = database.execute(
                "UPDATE hosts SET is_drained = ? WHERE id = ?", (int(is_drained), host)
            )
            if not changed.rowcount:
                raise UsageError(f"No host {host} in this farm.", "See farm status for its hosts.")

    # --- leases

    def acquire(
        self,
        owner: str,
        model: str,
        request: str,
        *,
        purpose: Purpose = "measure",
        waits: bool = False,
        left_out: Sequence[str] = (),
    ) -> Lease | None:
        """Lease a free phone of a model; None where none is free.

        Args:
            owner: Who asks.
            model: Model name of the phones that will do.
            request: Chosen by the caller and never used again; the same one asked twice gives
                the same lease, so that an answer that was lost costs no phone.
            purpose: `probe` leases a phone out of quarantine's sight, to measure it.
            waits: Keep a place in the queue for as long as the request is repeated within one
                time to live; phones go to those who asked first.
            left_out: Beginnings of the ids of phones that will not do.

        Raises:
            UsageError: Another owner has used this request.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            row = database.execute(
                "SELECT key, phone, token, owner, purpose FROM leases WHERE request = ?",
                (request,),
            ).fetchone()
            if row is not None:
                return self._same_owner(row, owner)
            wanted: Health = "ready" if purpose == "measure" else "quarantined"
            since_s = now_s - self._limits.ttl_s
            free = [
                phone
                for phone in health.free_phones(database, model, wanted, since_s, self._limits)
                if not phone.startswith(tuple(left_out))
            ]
            waiting.forget_silent(database, since_s)
            if len(free) <= (waiting.ahead(database, request, model) if wanted == "ready" else 0):
                if waits:
                    waiting.note(database, request, owner, model, now_s)
                return None
            waiting.leave(database, request)
            return self._grant(database, free[0], owner, request, purpose, now_s)

    def _same_owner(self, row: tuple[str, str, int, str, Purpose], owner: str) -> Lease:
        key, phone, token, holder, purpose = row
        if holder != owner:
            raise UsageError(
                f"This request was made by {holder}, not by {owner}.", "Ask with a new request."
            )
        return Lease(
            key=key,
            phone=phone,
            token=token,
            owner=owner,
            purpose=purpose,
            ttl_s=self._limits.ttl_s,
        )

    def _grant(
        self,
        database: sqlite3.Connection,
        phone: str,
        owner: str,
        request: str,
        purpose: Purpose,
        now_s: float,
    ) -> Lease:
        # Larger than any phone's: until its marks are all read, one phone may stand here as two.
        (token,) = database.execute("SELECT max(token) + 1 FROM phones").fetchone()
        database.execute("UPDATE phones SET token = ? WHERE id = ?", (token, phone))
        key, ends_s = self._new_key(), now_s + self._limits.ttl_s
        database.execute(
            "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, request, phone, token, owner, purpose, ends_s),
        )
        return self._same_owner((key, phone, token, owner, purpose), owner)

    def renew(self, key: str) -> None:
        """Let a lease live one time to live from now.

        Raises:
            LeaseLost: It has ended; its phone may be somebody else's.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            changed = database.execute(
                "UPDATE leases SET expires_at_s = ? WHERE key = ?",
                (now_s + self._limits.ttl_s, key),
            )
            if not changed.rowcount:
                raise _lost()

    def confirm(self, key: str, phone: str, token: int) -> Purpose:
        """What a lease is for; who holds a key may do that on this phone, nobody else may.

        Raises:
            LeaseLost: The lease has ended, or is of another phone or token.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            row = database.execute(
                "SELECT purpose FROM leases WHERE key = ? AND phone = ? AND token = ?",
                (key, phone, token),
            ).fetchone()
            if row is None:
                raise _lost()
            purpose: Purpose = row[0]
            return purpose

    def way(self, key: str) -> Way:
        """The way that a lease's holder uses to its phone, for as long as it holds it.

        Raises:
            LeaseLost: The lease has ended, or no host sees its phone any more.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            row = database.execute("SELECT phone FROM leases WHERE key = ?", (key,)).fetchone()
            since_s = now_s - self._limits.ttl_s
            if row is None or (found := health.best_way(database, row[0], since_s)) is None:
                raise _lost()
            return found

    def release(self, key: str) -> None:
        """Give a phone back; its unfinished task is queued again."""
        with self._journal.transaction() as database:
            tasks.end_lease(database, key)

    # --- tasks and results

    def queue(self, wanted: Iterable[Task]) -> int:
        """Add tasks; those already known stay as they are. Return how many are new."""
        with self._journal.transaction() as database:
            return tasks.queue(database, wanted)

    def claim(self, key: str, campaign: str) -> Task | None:
        """The next task for a lease's phone; the one that it has, if any; None at the end.

        Raises:
            LeaseLost: The lease has ended, or is one for a probe.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            phone, _ = _held(database, key, "measure")
            return tasks.claim(database, key, phone, campaign)

    def submit(self, key: str, result: Result) -> bool:
        """Keep a result; False where this very result is kept already.

        Raises:
            LeaseLost: The lease has ended, or the phone or its token are not this lease's;
                the task is or will be measured by another.
            UsageError: The task is not this lease's.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            if tasks.is_kept(database, result):
                return False
            phone, token = _held(database, key, "measure")
            if (phone, token) != (result.phone, result.token):
                raise _lost()
            tasks.keep(database, key, result)
            database.execute("UPDATE phones SET failures = 0 WHERE id = ?", (phone,))
            return True

    def fail(self, key: str, reason: str) -> None:
        """Queue a lease's task again; several failures in a row put its phone in quarantine.

        Raises:
            LeaseLost: The lease has ended.
        """
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            phone, _ = _held(database, key, "measure")
            tasks.give_back(database, key)
            health.count_failure(database, phone, reason, self._limits.most_failures)

    def submit_probe(self, key: str, token: int, *, measured_us: float, expected_us: float) -> bool:
        """End a quarantine if a probe measured what was expected; whether it did.

        Args:
            key: Of a lease for a probe; it ends with this call.
            token: What the phone was fenced by while it measured.
            measured_us: Median time of the probe on this phone.
            expected_us: Median time of the same program on its siblings.

        Raises:
            LeaseLost: The lease has ended, is none for a probe, or has another token.
            UsageError: A time is not a positive number.
        """
        if not all(math.isfinite(us) and us > 0 for us in (measured_us, expected_us)):
            raise UsageError(
                f"A probe measured {measured_us} us where {expected_us} us were expected.",
                "Probe with a program that takes time on every phone.",
            )
        now_s = self._clock()
        with self._journal.transaction() as database:
            self._expire(database, now_s)
            phone, held_token = _held(database, key, "probe")
            if held_token != token:
                raise _lost()
            passed = abs(measured_us / expected_us - 1) <= self._limits.probe_tolerance
            if passed:
                health.end_quarantine(database, phone)
            else:
                text = f"probe took {measured_us:g} us, expected {expected_us:g} us"
                health.quarantine(database, phone, text)
            tasks.end_lease(database, key)
            return passed

    def number_of(self, campaign: str, phone: str) -> int:
        """The number of a phone within a campaign, counted from 0: the same whenever asked."""
        with self._journal.transaction() as database:
            return tasks.number_of(database, campaign, phone)

    def note_stage(self, campaign: str, owner: str, stage: str) -> None:
        """Keep what a campaign's holder says of how far it is, for people to see."""
        with self._journal.transaction() as database:
            tasks.note_stage(database, campaign, owner[:200], stage[:200])

    def forget(self, campaign: str, *, only_open: bool = False, phone: str = "") -> None:
        """Drop what is kept of a campaign: all of it, or the tasks that are not done.

        With a phone, its own open tasks alone: those of its siblings run on.
        """
        with self._journal.transaction() as database:
            if only_open:
                tasks.forget_open(database, campaign, phone)
            else:
                tasks.forget(database, campaign)


def _held(database: sqlite3.Connection, key: str, purpose: Purpose) -> tuple[str, int]:
    row = database.execute(
        "SELECT phone, token FROM leases WHERE key = ? AND purpose = ?", (key, purpose)
    ).fetchone()
    if row is None:
        raise _lost()
    return row[0], row[1]


def _lost() -> LeaseLost:
    return LeaseLost(
        "This lease has ended; its phone may be somebody else's by now.",
        "Ask for a phone again; what was not kept is measured again.",
    )
