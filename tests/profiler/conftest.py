"""A workbench: campaigns on the simulated device, in this process or as a user runs them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.base import AgentSettings, DeviceAgent
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign.run import RunOptions, run_campaign
from profiler.cli.app import main
from profiler.planning.plan import make_plan
from profiler.settings import PRESETS, CampaignSettings
from search.console.progress import Silent
from search.spaces.registry import make_space
from search.table.store import Table
from tests.prepared import start_module
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SPACE = make_space("fbnet-mini").spec

# An agent from outside the kit, found by its entry point: the simulated
# device at a pace at which a person can press Ctrl-C. After $HOLD_AFTER records
# it waits for the file $HOLD_UNTIL, so that it cannot end before it is stopped.
_SLOW_AGENT = """
import os
import time
from pathlib import Path
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth

class SlowAgent(SimulatedAgent):
    pause_s = 0.0
    left = int(os.environ["HOLD_AFTER"])

    def run(self, plan):
        for record in super().run(plan):
            time.sleep(self.pause_s)
            yield record
            self.left -= 1
            while self.left < 0 and not Path(os.environ["HOLD_UNTIL"]).exists():
                time.sleep(0.01)

def make(device, settings):
    options = dict(device.options)
    pause_s = options.pop("pause_s")
    agent = SlowAgent(settings, Truth.from_options(options))
    agent.pause_s = pause_s
    return agent
"""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


class Bench:
    """An output folder, a cache, device files, and the ways to start a campaign."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str] | None) -> None:
        self.folder = folder
        self.output = folder / "tables"
        self._capture = capture
        self._devices = 0

    # --- in this process

    def settings(self, **changes: Any) -> CampaignSettings:
        """The --fast preset on the small space, for which any interval will do.

        Names of `Effort` change the effort.
        """
        effort = replace(PRESETS["fast"], target_relative_ci=0.5)
        names = [name for name in changes if hasattr(effort, name)]
        base = CampaignSettings(
            device="simulated",
            space=SPACE,
            dtype="fp32",
            backend="simulated",
            threads=1,
            affinity=None,
            runner="auto",
            seed=0,
            effort=replace(effort, **{name: changes.pop(name) for name in names}),
        )
        return replace(base, **changes)

    def agent(self, truth: Truth | None = None) -> SimulatedAgent:
        """A simulated device."""
        return SimulatedAgent(self.agent_settings(), truth or Truth())

    def agent_settings(self) -> AgentSettings:
        """Settings of a simulated device, for agents made by a test."""
        return AgentSettings(backend="simulated", threads=1, affinity=None)

    def measure(
        self,
        truth: Truth | None = None,
        settings: CampaignSettings | None = None,
        agent: DeviceAgent | None = None,
        **request: Any,
    ) -> Table:
        """One campaign by `run_campaign`."""
        asked = RunOptions(**{"output": self.output, **request})
        with agent or self.agent(truth) as chosen:
            plan = make_plan(settings or self.settings())
            return run_campaign(plan, chosen, asked, Silent())

    def journals(self) -> list[Path]:
        """Journals of unfinished campaigns."""
        return sorted(self.output.glob(".journal/*.sqlite"))

    def written(self) -> list[Path]:
        """Folders of tables."""
        return sorted(path.parent for path in self.output.glob("*/*/manifest.json"))

    # --- as a user

    def device(self, **options: Any) -> str:
        """A device file: the kit's own with these options; `pause_s` slows it down."""
        text = (ROOT / "device_agents/devices/simulated.toml").read_text()
        if "pause_s" in options:
            text = text.replace('platform = "simulated"', 'platform = "slow-simulated"')
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in options.items()]
        self._devices += 1
        path = self.folder / f"device{self._devices}.toml"
        path.write_text(text + "[options]\n" + "".join(lines))
        return str(path)

    def words(self, *words: str, device: str = "simulated") -> list[str]:
        """A measuring command on the small space; any interval will do."""
        small = ["--device", device, "--space", "fbnet-mini", "--fast", "--precision", "50"]
        return [*small, "--output", str(self.output), *words]

    def call(self, *words: str) -> Finished:
        """Run a command in this process: `python -m profiler` less the start of Python."""
        assert self._capture is not None
        self._capture.readouterr()
        terminated = signal.getsignal(signal.SIGTERM)
        code: object = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["profiler", *words])
            try:
                main()
            except SystemExit as end:
                code = end.code
            finally:
                signal.signal(signal.SIGTERM, terminated)
        assert isinstance(code, int)
        out, err = self._capture.readouterr()
        return Finished(code, out, err)

    @property
    def go_on(self) -> Path:
        """The file that a slow device which holds waits for."""
        return self.folder / "go-on"

    def start(
        self, *words: str, hold_after: int | None = None, **popen: Any
    ) -> "subprocess.Popen[str]":
        """Start a command in a process of its own; a slow device holds after so many records."""
        self._install_slow_agent()
        paths = os.pathsep.join([str(ROOT), str(self.folder / "outside")])
        held = 10**9 if hold_after is None else hold_after
        hold = {"HOLD_AFTER": str(held), "HOLD_UNTIL": str(self.go_on)}
        environment = {**os.environ, **hold, "PYTHONPATH": paths}
        return start_module("profiler", *words, environment=environment, cwd=self.folder, **popen)

    def run(self, *words: str, **popen: Any) -> Finished:
        """Run a command in a process of its own."""
        with self.start(*words, **popen) as process:
            return self.finish(process)

    def finish(self, process: "subprocess.Popen[str]") -> Finished:
        """Wait for a process and collect what it said."""
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Finished(process.returncode, out, err)

    def _install_slow_agent(self) -> None:
        place = self.folder / "outside"
        facts = place / "slow_simulated-1.dist-info"
        if facts.exists():
            return
        facts.mkdir(parents=True)
        (place / "slow_simulated.py").write_text(_SLOW_AGENT)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-simulated\nVersion: 1\n")
        (facts / "entry_points.txt").write_text(
            "[device_agents]\nslow-simulated = slow_simulated:make\n"
        )


@pytest.fixture
def bench(own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A workbench with an empty cache and no tables."""
    return Bench(tmp_path, capsys)


@contextlib.contextmanager
def _bench_at(folder: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(folder / "cache"))
        yield Bench(folder, None)


@pytest.fixture(scope="session")
def bench_at() -> Callable[[Path], AbstractContextManager[Bench]]:
    """A workbench in a folder, for fixtures that serve many tests."""
    return _bench_at


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """One simulated table for tests that only read."""
    with _bench_at(tmp_path_factory.mktemp("measured")) as bench:
        return bench.measure()


@pytest.fixture(scope="session")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The same, on a device that computes at half the speed."""
    with _bench_at(tmp_path_factory.mktemp("slower")) as bench:
        settings = bench.settings(seed=1)
        return bench.measure(Truth(gmacs_per_s=10), settings)
