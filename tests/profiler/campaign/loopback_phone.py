"""A loopback phone for campaigns from the command line, and what is asked of their tables."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agents.adb.device import AdbDevice
from device_agents.native import build as native
from search.table.store import Table, read_table
from tests.device_agents.conftest import server  # noqa: F401 (a fixture)
from tests.loopback.device import LoopbackDevice
from tests.waiting import wait_until

# Three blocks, their reference operator and the empty program: seconds to build.
PASSES, ROUNDS = 6, 2
FEW = ["--space", "fbnet-mini", "--filter", "_e1_m16", "--fast", "--precision", "90"]
FEW += ["--iterations", str(PASSES * ROUNDS), "--min-time", "200"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the runner in it; artefacts are built once for all tests."""
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    runner = native.build()
    folder = tmp_path_factory.mktemp("cache")
    place = folder / "runners" / runner.parent.name / runner.name
    place.parent.mkdir(parents=True)
    shutil.copy(runner, place)
    return folder


@pytest.fixture(autouse=True)
def surroundings(bench, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # After `bench`, whose own cache is empty.
    monkeypatch.setenv("KIT_CACHE", str(cache))
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[LoopbackDevice]:
    with LoopbackDevice(tmp_path / "device") as device:
        if device.ground != "namespace":
            pytest.skip("plans name device paths, which need a mount namespace")
        yield device


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def when_measuring(device: LoopbackDevice, act: Callable[[], None]) -> None:
    """Act once a runner was started on the device."""

    def is_measuring() -> bool:
        return any("KIT_RUNNER_SHA256" in text for text in list(device.commands))

    def wait() -> None:
        wait_until(is_measuring, "a runner on the device")
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that went away is given up soon; until then it may take its time."""
    reconnect = AdbDevice.reconnect

    def hastily(self: AdbDevice) -> None:
        self.timeout_s = 0.5
        reconnect(self)

    monkeypatch.setattr(AdbDevice, "reconnect", hastily)
    monkeypatch.setattr("device_agents.android.agent._PATIENCE_S", 0.5)


Campaign = Callable[..., Ended]


@pytest.fixture
def campaign(bench, device: LoopbackDevice) -> Campaign:
    def run(*words: str) -> Ended:
        way = ["--device", "android", "--connect", device.address, "-o", str(bench.output)]
        done = bench.call(*FEW, *way, *words)
        return Ended(done.code, done.out, done.err)

    return run


def only_table(bench) -> Table:
    (folder,) = bench.written()
    return read_table(folder)


def check_whole(table: Table, rounds: int = ROUNDS) -> None:
    """No operator lost, none counted twice."""
    samples = table.samples()
    base = samples[samples["pass"] < PASSES]
    assert {entry.status for entry in table.entries} == {"ok"}
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert base.groupby("item").size().eq(PASSES * rounds).all()
    assert {entry.key for entry in table.entries} <= set(base["item"])
