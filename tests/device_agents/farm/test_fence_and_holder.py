"""The token on the phone, the holder's own clock, and the journal's file."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device_agents.farm.fence import FenceFolder, Gate
from device_agents.farm.holder import HeldLease, keep_renewed
from device_agents.farm.journal import FarmJournal, journal_lock
from device_agents.farm.model import FencedOff, Lease, LeaseLost, Task
from device_agents.farm.registry import Registry
from search.errors import DeviceTimeout, StorageError, UsageError
from tests.device_agents.farm.shelf import Clock, sighting

LEASE = Lease(key="k", phone="a", token=3, owner="ann", purpose="measure", ttl_s=60.0)


class Side:
    """A phone whose fence is a folder."""

    def __init__(self, path: Path) -> None:
        self.file = FenceFolder(path)
        self.stopped_at: list[int] = []

    def fence(self) -> int:
        return self.file.read()

    def raise_fence(self, token: int) -> int:
        return self.file.raise_to(token)

    def stop_runs(self) -> None:
        self.stopped_at.append(self.file.read())


def test_a_larger_token_ends_runs_and_shuts_the_smaller_out(tmp_path: Path) -> None:
    side = Side(tmp_path / "kit" / "fence")
    gate = Gate(side)
    gate.open(3)
    gate.check(3)
    gate.open(5)
    assert side.stopped_at == [3, 5]  # only once the fence is up
    with pytest.raises(FencedOff, match="belongs to lease 5; lease 3"):
        gate.check(3)
    with pytest.raises(FencedOff):
        gate.open(4)
    gate.check(5)


def test_a_phone_that_was_never_opened_lets_nothing_be_written(tmp_path: Path) -> None:
    with pytest.raises(FencedOff):
        Gate(Side(tmp_path / "fence")).check(1)


def test_of_many_writers_the_largest_token_stays(tmp_path: Path) -> None:
    file = FenceFolder(tmp_path / "fence")
    threads = [threading.Thread(target=file.raise_to, args=(token,)) for token in range(1, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read() == 24


@pytest.mark.parametrize("name", ["-1", "x", "9" * 40, "1.5", "é", "٣"])
def test_a_file_whose_name_is_no_token_counts_for_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert FenceFolder(tmp_path).read() == 0
    assert FenceFolder(tmp_path).raise_to(7) == 7


def test_a_holder_counts_from_when_it_asked() -> None:
    held = HeldLease(LEASE, 100.0)
    assert not held.is_over(156.9)
    assert held.is_over(157.0)
    held.renewed(150.0)
    held.renewed(120.0)  # a late answer to an earlier request
    assert not held.is_over(206.9)


class Stop(threading.Event):
    """Lets virtual time pass instead of waiting; is set after so many waits."""

    def __init__(self, clock: Clock, waits: int) -> None:
        super().__init__()
        self._clock, self._left = clock, waits

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now_s += timeout or 0
        self._left -= 1
        return self._left < 0


def test_a_silent_holder_renews_by_itself(registry: Registry, clock: Clock) -> None:
    registry.see("shelf", [sighting()])
    lease = registry.acquire("ann", "pixel", "r")
    assert lease is not None
    held = HeldLease(lease, clock())
    keep_renewed(held, registry.renew, clock=clock, stop=Stop(clock, 400))  # two hours
    assert registry.phones()[0].owner == "ann"


def test_a_holder_that_cannot_renew_gives_up_in_time(clock: Clock) -> None:
    def silent(_: str) -> None:
        raise DeviceTimeout("No answer.")

    start_s = clock()
    with pytest.raises(LeaseLost, match="could not be renewed"):
        keep_renewed(HeldLease(LEASE, start_s), silent, clock=clock, stop=Stop(clock, 9))
    assert clock() - start_s <= LEASE.ttl_s


# --- the file

_WRITER = """
import sys, itertools
from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Result, Sighting, Task
from device_agents.farm.registry import Registry
registry = Registry(FarmJournal(sys.argv[1]))
registry.see("h", [Sighting(host="h", address="a", connection="usb", marks=frozenset({"a"}),
                            model="pixel")])
lease = registry.acquire("ann", "pixel", "r")
for number in itertools.count():
    task = Task(campaign="c", item=str(number), pass_number=0)
    registry.queue([task])
    registry.claim(lease.key, "c")
    registry.submit(lease.key, Result(task=task, phone="a", token=lease.token, content="x"))
    print(number, flush=True)
"""


def test_what_was_confirmed_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "farm.sqlite"
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        confirmed = 20 + len(writer.stdout.read().split())
    journal = FarmJournal(path)
    registry = Registry(journal)
    kept = {int(result.task.item) for result in registry.results("c")}
    assert set(range(confirmed)) <= kept
    (campaign,) = registry.campaigns()
    assert campaign.done == len(kept)
    assert campaign.queued + campaign.running <= 1
    assert registry.phones()[0].owner == "ann"
    journal.close()


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database\n" * 100)
    with pytest.raises(UsageError, match="damaged, or no journal"):
        FarmJournal(path)
    assert path.read_text() == "no database\n" * 100


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("PRAGMA user_version = 99", "schema 99"),
        ("CREATE TABLE theirs (x)", "is no journal of a farm"),
    ],
)
def test_other_databases_are_refused(tmp_path: Path, script: str, message: str) -> None:
    path = tmp_path / "other.sqlite"
    database = sqlite3.connect(path)
    database.execute(script)
    database.commit()
    database.close()
    with pytest.raises(UsageError, match=message):
        FarmJournal(path)


def test_a_journal_of_the_first_schema_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    task = Task(campaign="c", item="1", pass_number=0)
    journal = FarmJournal(path)
    Registry(journal).queue([task])
    with journal.transaction() as database:
        database.execute("DROP TABLE stages")
        database.execute("PRAGMA user_version = 1")
    journal.close()
    journal = FarmJournal(path)
    registry = Registry(journal)
    registry.note_stage("c", "ann", "pass 2 of 6")
    (campaign,) = registry.campaigns()
    assert (campaign.queued, campaign.owner, campaign.stage) == (1, "ann", "pass 2 of 6")
    journal.close()


def test_two_farms_never_keep_their_leases_in_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "farm" / "journal.sqlite"
    with (
        journal_lock(path),
        pytest.raises(UsageError, match="Another farm keeps its leases"),
        journal_lock(path),
    ):
        pass
    with journal_lock(path):  # free again
        pass


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Cannot use the farm's journal"):
        FarmJournal(tmp_path / "no" / "farm.sqlite")


def test_a_failed_change_leaves_nothing_of_itself(registry: Registry, journal: FarmJournal) -> None:
    def half_done() -> None:
        with journal.transaction() as database:
            assert database.execute("DELETE FROM tasks").rowcount == 1
            raise RuntimeError

    registry.queue([Task(campaign="c", item="1", pass_number=0)])
    with pytest.raises(RuntimeError):
        half_done()
    assert registry.campaigns()[0].queued == 1
