"""The journal: nothing lost, nothing twice, and no damaged file is believed."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.protocol import Hello, Sample, Sentinel
from profiler.journal import Journal
from search.errors import KitError, StorageError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def sample(ns: int = 1000, **changes: Any) -> Sample:
    values: dict[str, Any] = {"item": 1, "round": 0, "loops": 2, "ns": ns, "at_ns": ns}
    return Sample(**{**values, **changes})


def fill(journal: Journal, items: int = 40, rounds: int = 50) -> None:
    for number in range(rounds):
        journal.add(
            0,
            [(f"operator{k}", number, sample(1000 + number)) for k in range(items)],
            [Sentinel(loops=1, ns=5000, at_ns=number)],
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "one.sqlite"


def test_what_was_added_is_read_back_unchanged(path: Path) -> None:
    full = sample(
        12345,
        first_ns=777,
        switches=3,
        loops=9,
        at_ns=2**60,
        freq_khz=1800000,
        temperature_mc=41500,
    )
    with Journal(path, "me") as journal:
        journal.add(2, [("a", 4, full)], [Sentinel(loops=4, ns=8000, at_ns=7)])
        journal.add_failure("b", "load", "no such delegate")
        journal.set_fact("colour", "blue")
    with Journal(path, "me") as journal:
        (block,) = journal.blocks()["a"]
        assert (block.pass_number, block.round, block.loops, block.ns) == (2, 4, 9, 12345)
        assert (block.first_ns, block.switches, block.at_ns) == (777, 3, 2**60)
        assert journal.raw() == [("a", 2, 4, 9, 12345, 777, 3, 2**60, 1800000, 41500)]
        assert journal.sentinels() == ([7], [2.0])
        assert journal.failures()["b"].message == "no such delegate"
        assert journal.fact("colour") == "blue"
        assert journal.fact("shape") is None
        assert journal.hottest_c() == 41.5


def test_the_same_samples_added_again_are_counted_once(path: Path) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=3, rounds=4)
        before = journal.raw()
        journal.add(0, [("operator0", 2, sample(999_999))], [])
        fill(journal, items=3, rounds=4)
        assert journal.raw() == before
        assert journal.rounds_done(0) == {"operator0": 4, "operator1": 4, "operator2": 4}
        assert journal.rounds_done(1) == {}


def test_the_same_runner_is_recorded_once(path: Path) -> None:
    hello = Hello(nonce="n", runner="r", runtime="x", backend="b", threads=2, affinity=(0, 3))
    with Journal(path, "me") as journal:
        journal.add_hello(hello)
        journal.add_hello(hello)
        assert journal.hellos() == [hello]


def test_a_preempted_sentinel_says_nothing_of_the_device(path: Path) -> None:
    with Journal(path, "me") as journal:
        journal.add(0, [], [Sentinel(loops=1, ns=10**9, switches=1, at_ns=1)])
        assert journal.sentinels() == ([], [])


def test_an_addition_that_breaks_off_leaves_nothing_behind(path: Path) -> None:
    def broken() -> object:
        yield Sentinel(loops=1, ns=1, at_ns=1)
        raise KeyboardInterrupt

    with Journal(path, "me") as journal:
        with pytest.raises(KeyboardInterrupt):
            journal.add(0, [("a", 0, sample()), ("a", 1, sample())], broken())  # type: ignore[arg-type]
        assert journal.raw() == []
        journal.add(0, [("a", 0, sample())], [])
        assert len(journal.raw()) == 1


def test_what_was_added_survives_the_kill_of_the_process_that_added_it(path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from device_agents.protocol import Sample\n"
        "from profiler.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'me')\n"
        "for k in range(100):\n"
        "    journal.add(0, [('a', k, Sample(item=1, round=k, loops=1, ns=k + 1, at_ns=k))], [])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with Journal(path, "me") as journal:
        assert [block.ns for block in journal.blocks()["a"]] == list(range(1, 101))


def test_a_journal_that_was_left_open_can_be_opened_again(path: Path) -> None:
    first = Journal(path, "me")
    first.add(0, [("a", 0, sample())], [])
    with Journal(path, "me") as second:
        assert second.rounds_done(0) == {"a": 1}
    first.close()


def test_the_journal_of_another_campaign_is_refused_and_left_as_it_is(path: Path) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=2, rounds=2)
    with pytest.raises(UsageError, match="of another campaign"):
        Journal(path, "you")
    with Journal(path, "me") as journal:
        assert len(journal.raw()) == 4


def test_a_journal_of_a_newer_schema_is_refused(path: Path) -> None:
    with Journal(path, "me") as journal:
        journal.set_fact("schema", "99")
    with pytest.raises(UsageError, match=r"schema 99"):
        Journal(path, "me")


@pytest.mark.parametrize("content", [b"garbage" * 2000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_of_garbage_is_called_a_damaged_journal(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged") as caught:
        Journal(path, "me")
    assert "--restart" in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.02, 0.98))
def test_a_journal_cut_anywhere_is_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / "one.sqlite"
    with Journal(path, "me") as journal:
        fill(journal, items=20, rounds=30)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError, match="damaged"):
        Journal(path, "me")


@settings(max_examples=40, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_journal_with_a_page_overwritten_is_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, where: float, byte: int
) -> None:
    path = tmp_path_factory.mktemp("edited") / "one.sqlite"
    with Journal(path, "me") as journal:
        fill(journal, items=20, rounds=30)
    content = bytearray(path.read_bytes())
    page = int(where * len(content)) // 4096 * 4096
    content[page : page + 4096] = bytes([byte]) * 4096
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match="damaged"):
        Journal(path, "me")


def test_a_full_disk_is_a_sentence_and_what_was_written_before_stays(path: Path) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=2, rounds=2)
        base = sqlite3.connect(path)
        pages = base.execute("PRAGMA page_count").fetchone()[0]
        base.close()
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(KitError, match=r"full.*--resume"):
            fill(journal, items=200, rounds=2)
        assert len(journal.raw()) == 4
    with Journal(path, "me") as journal:
        assert len(journal.raw()) == 4


HELLO = Hello(nonce="n", runner="r", runtime="x", backend="b", threads=2, affinity=(0, 3))
TROUBLES = (
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
)
WRITES: dict[str, Callable[[Journal], object]] = {
    "set_fact": lambda journal: journal.set_fact("colour", "red"),
    "add": lambda journal: journal.add(0, [("b", 0, sample())], []),
    "add sentinels": lambda journal: journal.add(0, [], [Sentinel(loops=1, ns=1, at_ns=1)]),
    "add_failure": lambda journal: journal.add_failure("b", "load", "no such delegate"),
    "add_placement": lambda journal: journal.add_placement("b", "gpu"),
    "add_hello": lambda journal: journal.add_hello(HELLO),
}


class Failing:
    """A connection on which statements that begin with one of these words fail."""

    def __init__(self, connection: sqlite3.Connection, trouble: str, *words: str) -> None:
        self._connection, self._trouble, self._words = connection, trouble, words

    def _run(self, name: str, sql: str, *values: Any) -> Any:
        if sql.lstrip().startswith(self._words):
            raise sqlite3.OperationalError(self._trouble)
        return getattr(self._connection, name)(sql, *values)

    def execute(self, sql: str, *values: Any) -> Any:
        return self._run("execute", sql, *values)

    def executemany(self, sql: str, *values: Any) -> Any:
        return self._run("executemany", sql, *values)

    def executescript(self, sql: str) -> Any:
        return self._run("executescript", sql)

    def close(self) -> None:
        self._connection.close()
        if "close" in self._words:
            raise sqlite3.OperationalError(self._trouble)


def failing(connection: sqlite3.Connection, trouble: str, *words: str) -> sqlite3.Connection:
    return cast("sqlite3.Connection", Failing(connection, trouble, *words))


def _told(trouble: str) -> str:
    return f"Cannot write the journal .*one.sqlite: {trouble}.*Make room.*--resume"


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("method", WRITES)
def test_a_failing_disk_is_the_same_sentence_from_every_method_that_writes(
    path: Path, method: str, trouble: str
) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=2, rounds=2)
        whole = journal._connection
        journal._connection = failing(whole, trouble, "INSERT")
        with pytest.raises(StorageError, match=_told(trouble)):
            WRITES[method](journal)
        journal._connection = whole
        assert len(journal.raw()) == 4
        WRITES[method](journal)


@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
def test_a_disk_that_fails_around_a_transaction_is_told_and_nothing_is_stored(
    path: Path, word: str
) -> None:
    with Journal(path, "me") as journal:
        whole = journal._connection
        journal._connection = failing(whole, TROUBLES[0], word)
        with pytest.raises(StorageError, match=_told(TROUBLES[0])):
            WRITES["add"](journal)
        journal._connection = whole
        assert journal.raw() == []
        WRITES["add"](journal)
        assert len(journal.raw()) == 1


@pytest.mark.parametrize("word", ["PRAGMA journal_mode", "CREATE", "INSERT"])
def test_a_disk_that_fails_while_a_journal_is_begun_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(
            sqlite3,
            "connect",
            lambda *args, **kwargs: Failing(connect(*args, **kwargs), TROUBLES[1], word),
        )
        with pytest.raises(StorageError, match=_told(TROUBLES[1])):
            Journal(path, "me")
    with Journal(path, "me") as journal:
        assert journal.raw() == []


def test_a_journal_whose_folder_cannot_be_made_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageError, match=_told("No space left on device")):
        Journal(path, "me")


def test_a_journal_that_cannot_be_opened_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match=_told("unable to open database file")):
        Journal(path, "me")


def test_a_disk_that_fails_while_a_journal_is_closed_is_told_and_hides_no_other_error(
    path: Path,
) -> None:
    journal = Journal(path, "me")
    journal._connection = failing(journal._connection, TROUBLES[0], "close")
    with pytest.raises(StorageError, match=_told(TROUBLES[0])):
        journal.close()
    journal = Journal(path, "me")
    journal._connection = failing(journal._connection, TROUBLES[0], "close")
    with pytest.raises(KeyboardInterrupt), journal:
        raise KeyboardInterrupt


def test_what_could_not_be_flushed_at_the_end_is_read_by_the_next_run(path: Path) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=2, rounds=2)
        journal._connection = failing(journal._connection, TROUBLES[0], "PRAGMA wal_checkpoint")
    with Journal(path, "me") as journal:
        assert len(journal.raw()) == 4


def test_a_journal_that_cannot_be_removed_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    journal = Journal(path, "me")
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StorageError, match=_told("Read-only file system")):
        journal.delete()


def test_a_deleted_journal_leaves_no_file(path: Path) -> None:
    with Journal(path, "me") as journal:
        fill(journal, items=2, rounds=2)
        journal.delete()
    assert list(path.parent.iterdir()) == []
