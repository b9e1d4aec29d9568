"""Runners that die at any moment or lie: the samples of a table are those that were sent."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.base import AgentSettings
from device_agents.host.agent import HostAgent
from device_agents.protocol import MOST_LINE, Sample, parse_record
from profiler.analysis.judge import judge
from profiler.journal import Journal
from search.errors import DeviceLost, KitError
from search.table.store import Table
from tests.hostile.damage import BYTES, DEEP, LONG
from tests.profiler.conftest import Bench, bench

__all__ = ["bench"]

RUNNER = Path(__file__).with_name("runner.py")
SAMPLE = '{"type":"sample","item":%s,"round":%s,"loops":%s,"ns":%s,"at_ns":%s,"freq_khz":%s}\n'
LIES = {
    "no time": SAMPLE % (0, 0, 1, 0, 1, 1),
    "a negative time": SAMPLE % (0, 0, 1, -5, 1, 1),
    "no calls": SAMPLE % (0, 0, 0, 5, 1, 1),
    "a time beyond 64 bits": SAMPLE % (0, 0, 1, 2**64, 1, 1),
    "a moment beyond 64 bits": SAMPLE % (0, 0, 1, 5, 2**70, 1),
    "a clock beyond 64 bits": SAMPLE % (0, 0, 1, 5, 5, 2**70),
    "a clock of NaN": SAMPLE % (0, 0, 1, 5, 5, "NaN"),
    "thousands of digits": SAMPLE % (0, 0, 1, LONG, 5, 5),
    "an item that is none": SAMPLE % (2**40, 0, 1, 5, 5, 5),
    "deep nesting": DEEP + "\n",
    "a line without an end": "x" * (3 * MOST_LINE) + "\n",
    "escapes": "\x1b]0;owned\x07\x9b\n",
    "half a character": '{"type":"begin","item":"\\ud800"}\n',
}


@pytest.fixture
def measure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Table]:
    """A campaign on a runner of our own; its log lies in the bench's folder."""

    def measure(die_after: int, hostile: str = "", **request: Any) -> Table:
        log = bench.folder / "log"
        if hostile:
            Path(f"{log}.hostile").write_text(hostile)
        command = [sys.executable, str(RUNNER), str(log), str(die_after)]
        monkeypatch.setattr("device_agents.host.agent.choose_runner", lambda _: (command, {}))
        agent = HostAgent(AgentSettings(backend="xnnpack", threads=1, affinity=None))
        return bench.measure(agent=agent, settings=bench.settings(filter="k3_e6"), **request)

    return measure


def _sent(bench: Bench) -> set[tuple[int, int]]:
    lines = (bench.folder / "log").read_text().splitlines()
    return {(int(at_ns), int(ns)) for at_ns, ns in map(str.split, lines)}


def _check(table: Table, sent: set[tuple[int, int]], rounds: int) -> None:
    """Every block of the table was sent, none is there twice, and none is missing."""
    samples = table.samples()
    kept = list(zip(samples["at_ns"].tolist(), samples["ns"].tolist(), strict=True))
    assert len(set(kept)) == len(kept)
    assert set(kept) <= sent
    assert samples.groupby(["item", "pass"]).size().eq(rounds).all()


@pytest.mark.parametrize("die_after", [41, 97])
def test_a_runner_killed_at_any_moment_loses_and_repeats_nothing(
    bench: Bench, measure: Callable[..., Table], die_after: int
) -> None:
    rounds = bench.settings().effort.rounds
    resumed: dict[str, bool] = {}
    for _ in range(40):
        try:
            table = measure(die_after, **resumed)
            break
        except DeviceLost as error:  # it died too often in one go
            remedy = error.remedy
            resumed = {"resume": True}
    assert not resumed or "--resume" in remedy
    _check(table, _sent(bench), rounds)


@pytest.mark.parametrize("name", LIES)
def test_a_runner_that_lies_once_is_begun_again_and_its_lie_kept_nowhere(
    bench: Bench, measure: Callable[..., Table], name: str
) -> None:
    table = measure(0, LIES[name])
    _check(table, _sent(bench), bench.settings().effort.rounds)


@given(
    ns=st.lists(st.integers(1, 2**61), min_size=1, max_size=5),
    loops=st.integers(1, 2**62),
    khz=st.none() | st.integers(0, 10**8),
    at_ns=st.integers(0, 2**61),
)
def test_whatever_the_wire_lets_through_can_be_kept_and_judged(
    tmp_path_factory: pytest.TempPathFactory, ns: list[int], loops: int, khz: int | None, at_ns: int
) -> None:
    samples = []
    for number, value in enumerate(ns):
        line = SAMPLE % (0, number, loops, value, at_ns, "null" if khz is None else khz)
        record = parse_record(line)
        assert isinstance(record, Sample)
        samples.append(("a", number, record))
    path = tmp_path_factory.mktemp("journal") / "j.sqlite"
    with Journal(path, "me") as journal:
        journal.add(0, samples, [])
    with Journal(path, "me") as journal:
        measured = judge(journal.blocks()["a"], target=0.05, clock_khz=khz or None)
    assert measured is not None
    assert 0 < measured.low_us <= measured.centre_us <= measured.high_us < float("inf")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE blocks SET ns = 0",
        "UPDATE blocks SET ns = 'fast'",
        "UPDATE blocks SET loops = -1",
        "UPDATE blocks SET at_ns = NULL",
        "UPDATE blocks SET freq_khz = 1e300",
        "UPDATE blocks SET item = x'ff'",
        "INSERT INTO sentinels VALUES (0, 1, 0, 5, 0, NULL)",
        "INSERT INTO hellos VALUES ('n', '{\"type\": 7}')",
        "INSERT INTO facts VALUES ('measuring_s', 'nan')",
    ],
)
def test_a_journal_of_impossible_values_is_called_damaged(tmp_path: Path, change: str) -> None:
    import sqlite3

    path = tmp_path / "j.sqlite"
    record = parse_record(SAMPLE % (0, 0, 1, 5, 5, 5))
    assert isinstance(record, Sample)
    with Journal(path, "me") as journal:
        journal.add(0, [("a", 0, record)], [])
    with sqlite3.connect(path) as connection:
        # The columns say NOT NULL; a damaged page does not keep to it.
        change = change.replace("at_ns = NULL", "at_ns = 'never'")
        connection.execute(change)
    connection.close()
    with pytest.raises(KitError, match=r"damaged.*--restart"):
        Journal(path, "me")


@pytest.mark.parametrize("name", BYTES)
def test_a_journal_that_is_none_is_called_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / "j.sqlite"
    record = parse_record(SAMPLE % (0, 0, 1, 5, 5, 5))
    assert isinstance(record, Sample)
    with Journal(path, "me") as journal:
        journal.add(0, [("a", 0, record)], [])
    path.write_bytes(BYTES[name](path.read_bytes()))
    if name == "empty":  # that of a campaign that was killed at once
        Journal(path, "me").close()
        return
    with pytest.raises(KitError, match=r"damaged.*--restart"):
        Journal(path, "me")
