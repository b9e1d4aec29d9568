"""Ctrl-C, kill -9 and two campaigns at once: no operator lost, none measured twice."""

import gc
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from device_agents.protocol import Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.journal import Journal
from profiler.settings import PRESETS
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.thorough

SPACE = make_space("fbnet-mini")
FAST = PRESETS["fast"]
PASSES, ROUNDS = FAST.passes, FAST.rounds
_ITEMS = len(SPACE.operators) + 1 + FAST.calibration + FAST.exam  # and the empty program
_LOADING = 2 + 2 * (_ITEMS + 1)  # records that each start repeats; the sentinel is loaded too
_PASS = _LOADING + ROUNDS * (_ITEMS + -(-_ITEMS // 10))
HOLD_AFTER = _LOADING + 100
KILLED_AFTER = _PASS + 100  # in the second pass


def check_whole(table: Table, passes: int = PASSES, rounds: int = ROUNDS) -> None:
    samples = table.samples()
    base = samples[samples["pass"] < passes]
    assert {entry.status for entry in table.entries} == {"ok"}
    assert {entry.key for entry in table.entries} < set(base["item"])
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert base.groupby("item").size().eq(passes * rounds).all()


def stored(journal: Path) -> set[tuple[object, ...]]:
    """Blocks in a journal that may still be open."""
    base = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        return set(base.execute("SELECT item, pass, round, ns FROM blocks"))
    finally:
        base.close()


def in_table(table: Table) -> set[tuple[object, ...]]:
    columns = table.samples()[["item", "pass", "round", "ns"]]
    return set(columns.itertuples(index=False, name=None))


# --- in this process: at every kind of moment --------------------------------


class Stopping(SimulatedAgent):
    """Is interrupted by Ctrl-C after so many records."""

    left = 0

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            yield record
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("seed", range(3))
def test_an_interrupt_after_any_record_loses_nothing_and_repeats_nothing(bench, seed: int) -> None:
    settings, draw = bench.settings(), random.Random(seed)
    kept: set[tuple[object, ...]] = set()
    interrupts = 0
    while not bench.written():
        agent = Stopping(bench.agent_settings(), Truth())
        agent.left = draw.choice([1, 3, 68, 137, draw.randrange(1, 400), draw.randrange(1, 400)])
        try:
            bench.measure(settings=settings, agent=agent, resume=interrupts > 0)
        except KeyboardInterrupt:
            interrupts += 1
            (journal,) = bench.journals()
            now = stored(journal)
            assert kept <= now
            kept = now
    assert interrupts >= 5
    table = read_table(bench.written()[0])
    check_whole(table)
    assert kept <= in_table(table)


def interrupt_after(seconds: float, work: Callable[[], object]) -> bool:
    """Do some work that the timer interrupts as Ctrl-C would; True if it did."""

    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, strike)
    gc.disable()  # an interrupt inside a collector's callback would be swallowed
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)
    return False


# What an interrupt hits while it opens a file or a database cannot close it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_instruction_loses_nothing_and_repeats_nothing(bench) -> None:
    settings, draw = bench.settings(), random.Random(0)
    kept: set[tuple[object, ...]] = set()
    interrupts = 0
    while not bench.written():
        # Short at first, so that there are several however fast the machine is;
        # then longer and longer, so that it ends however slow.
        delay = draw.uniform(0.005, 0.03) * 1.1**interrupts
        resume = bool(bench.journals())
        measure = partial(bench.measure, settings=settings, resume=resume)
        interrupts += interrupt_after(delay, measure)
        for journal in bench.journals():
            with Journal(journal, settings.identity):
                pass
            assert kept <= stored(journal)
            kept = stored(journal)
    assert interrupts >= 3
    table = read_table(bench.written()[-1])
    check_whole(table)
    assert kept <= in_table(table)


def test_an_interrupt_between_table_and_journal_does_not_write_the_table_twice(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Journal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.measure()
    assert len(bench.written()) == 1
    table = bench.measure(resume=True)
    assert [table.path] == bench.written()
    assert bench.journals() == []


# --- as a user ---------------------------------------------------------------


class Said:
    """Reads what a process says on standard error, as it says it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._process = process
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, word: str, timeout: float = PATIENCE_S) -> None:
        """Until a line that holds this word, or the end of the process."""

        def heard() -> bool:
            return any(word in line for line in self.lines) or not self._reader.is_alive()

        with self._news:
            assert self._news.wait_for(heard, timeout), self.lines

    def end(self) -> tuple[int, str]:
        """Exit code, as a shell gives it, and everything said.

        Python dies of the signal itself when it strikes inside `exec`, as in
        the making of a dataclass; a shell calls both 130.
        """
        code = self._process.wait(timeout=PATIENCE_S)
        code = 128 - code if code < 0 else code
        self._reader.join(timeout=PATIENCE_S)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return code, "".join(self.lines)


def test_ctrl_c_at_10_random_moments_then_resume_loses_nothing_and_repeats_nothing(
    bench,
) -> None:
    draw = random.Random(1)
    device = bench.device(pause_s=0.0015)
    words = bench.words(device=device)
    kept: set[tuple[object, ...]] = set()
    for number in range(10):
        # Ten times so many are not all: there is something left to interrupt.
        resume = ["--resume"] if bench.journals() else []
        # On a slow machine all the others may come before the first block.
        is_last = number == 9
        held = KILLED_AFTER if is_last else HOLD_AFTER
        process = bench.start(*words, *resume, hold_after=held)
        said = Said(process)
        said.wait_for("pass 2" if is_last else "build:" if number % 3 == 0 else "pass")
        time.sleep(draw.uniform(0, 0.6))
        process.send_signal(signal.SIGINT)
        code, text = said.end()
        assert code == 130, text
        assert "--resume" in text
        assert "Traceback" not in text
        (journal,) = bench.journals()
        assert kept <= stored(journal)
        kept = stored(journal)
    assert kept
    last = bench.run(*words, "--resume")
    assert last.code == 0, last.err
    (folder,) = bench.written()
    check_whole(read_table(folder))
    assert kept <= in_table(read_table(folder))
    assert bench.journals() == []


def test_ctrl_c_during_a_first_build_leaves_a_campaign_that_can_be_gone_on_with(bench) -> None:
    words = bench.words(device=bench.device(pause_s=0.0))
    process = bench.start(*words, hold_after=0)
    said = Said(process)
    said.wait_for("build:")
    process.send_signal(signal.SIGINT)
    code, text = said.end()
    assert code == 130, text
    ended = bench.run(*words, "--resume")
    assert ended.code == 0, ended.err
    check_whole(read_table(bench.written()[0]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_campaign_that_was_killed_is_gone_on_with_by_resume_and_only_by_it(
    bench, number: signal.Signals
) -> None:
    words = bench.words(device=bench.device(pause_s=0.001))
    process = bench.start(*words, hold_after=KILLED_AFTER)
    said = Said(process)
    said.wait_for("pass 2")
    time.sleep(0.3)
    # A stop, as of a closed laptop, is no more than a pause.
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    process.send_signal(signal.SIGCONT)
    process.send_signal(number)
    code, text = said.end()
    assert code == (137 if number == signal.SIGKILL else 130), text
    (journal,) = bench.journals()
    kept = stored(journal)
    assert len(kept) >= ROUNDS * _ITEMS  # the first pass

    again = bench.run(*words)
    assert again.code == 2
    assert "--resume" in again.err
    assert "--restart" in again.err
    assert stored(journal) == kept

    other = bench.call(*bench.words("--resume", "--seed", "3"))
    assert other.code == 2
    assert "settings" in other.err

    resumed = bench.run(*words, "--resume")
    assert resumed.code == 0, resumed.err
    table = read_table(bench.written()[0])
    check_whole(table)
    assert kept <= in_table(table)


def test_a_second_campaign_on_the_same_device_is_refused_and_the_first_completes(bench) -> None:
    first = bench.start(*bench.words(device=bench.device(pause_s=0.0)), hold_after=100)
    said = Said(first)
    said.wait_for("pass")
    for words in (bench.words(), bench.words("--seed", "9", "-o", str(bench.folder / "other"))):
        second = bench.call(*words)
        assert second.code == 2
        assert "Another command is using simulated" in second.err
        assert second.out == ""
    assert not list(bench.folder.glob("other/*"))
    bench.go_on.touch()
    code, text = said.end()
    assert code == 0, text
    (folder,) = bench.written()
    check_whole(read_table(folder))


def test_the_lock_of_a_killed_campaign_does_not_stay(bench) -> None:
    process = bench.start(*bench.words(device=bench.device(pause_s=0.0)), hold_after=100)
    said = Said(process)
    said.wait_for("pass")
    os.kill(process.pid, signal.SIGKILL)
    said.end()
    ended = bench.call(*bench.words("--seed", "5"))
    assert ended.code == 0, ended.err
