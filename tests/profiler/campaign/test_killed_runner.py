"""Kill -9 of the native runner at random moments of a campaign on this machine."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.native import build as native
from search.table.store import read_table

PASSES, ROUNDS = 6, 40
WORDS = ["--device", "host", "--space", "fbnet-mini", "--filter", "_e1_m16", "--fast"]
WORDS += ["--precision", "90", "--iterations", str(PASSES * ROUNDS), "--min-time", "500"]


class Killer(threading.Thread):
    """Kills every second runner that this process starts, some time after its start."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.kills = 0
        self.over = threading.Event()
        self._random = random.Random(seed)

    def run(self) -> None:
        seen: list[int] = []
        while not self.over.wait(0.002):
            for process in _runners():
                if process in seen:
                    continue
                seen.append(process)
                if len(seen) % 2:
                    time.sleep(self._random.uniform(0.0, 0.1))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                        self.kills += 1


def _runners() -> Iterator[int]:
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for process in children.read_text().split():
                if Path(f"/proc/{process}/exe").readlink().name == "runner":
                    yield int(process)


@pytest.fixture(scope="module")
def runner() -> Path:
    """In the user's own cache; each test has an empty one."""
    found = native.find()
    if found is None:
        pytest.skip("the native runner is not built here")
    return found


@pytest.mark.parametrize("seed", [1])
def test_a_runner_that_is_killed_again_and_again_costs_no_operator_and_no_block(
    bench, runner: Path, seed: int
) -> None:
    place = Path(os.environ["KIT_CACHE"]) / "runners" / runner.parent.name / runner.name
    place.parent.mkdir(parents=True)
    place.symlink_to(runner)
    killer = Killer(seed)
    killer.start()
    try:
        ended = bench.call(*WORDS, "-o", str(bench.output))
    finally:
        killer.over.set()
        killer.join()
    assert ended.code in {0, 1}, ended.err  # the exam of so few operators may fail
    assert killer.kills >= 2
    assert "Trying again" in ended.err
    (folder,) = bench.written()
    table = read_table(folder)
    samples = table.samples()
    assert {entry.status for entry in table.entries} == {"ok"}
    assert not samples.duplicated(["item", "pass", "round"]).any()
    base = samples[samples["pass"] < PASSES]
    assert base.groupby("item").size().eq(PASSES * ROUNDS).all()
