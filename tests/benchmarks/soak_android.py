"""Campaigns on a loopback device whose daemon is killed at random moments.

    python -m tests.benchmarks.soak_android --kills 50 [--transport server]
    python -m tests.benchmarks.soak_android --phone pixel-6 --space fbnet-mini --filter _e1_m16_g1

Whole FBNet tables by default (`--fast`: every operator and 16 whole networks),
each copied anew to the device; `--filter REGEX` for less. With `--phone` the device is a phone
whose arm64 programs run under qemu, and whose runtime is copied anew too. The daemon is a process
of its own, killed by SIGKILL and started again within five seconds. A campaign that
gives up must end with exit code 3 and the command that goes on, which is then used.
Prints one line a campaign and ends with 1 if an operator or network was lost, a
block counted twice, two runners measured side by side, a partial file was used, or
anything was left on the device: a changed setting, a process, a partial file.
"""

import argparse
import contextlib
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from profiler.planning.plan import make_plan
from profiler.settings import PRESETS, CampaignSettings
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.benchmarks.soak_checks import (
    broken_files,
    broken_folders,
    faults_of_device,
    faults_of_table,
)
from tests.loopback.adb_server import AdbServer
from tests.loopback.process import KIT, DaemonProcess

# The daemon itself takes up to a second to start.
MOST_AWAY_S = 4.0
MOST_TRIES = 60
_GIVEN_UP = 3
_GO_ON = "go on with: "


class Killer:
    """Kills the daemon at random moments and starts it again within five seconds."""

    def __init__(self, device: DaemonProcess, kills: int, every_s: float, seed: int) -> None:
        self._device = device
        self._left = kills
        self._every_s = every_s
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._whole: dict[str, tuple[int, int]] = {}
        self.done = 0
        self.found: list[str] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def look(self) -> None:
        """Check what lies on the device by content."""
        kit = self._device.root / KIT
        self.found += broken_files(kit / "files", self._whole)
        self.found += broken_folders(kit / "runtimes")

    def _work(self) -> None:
        while self.done < self._left:
            if self._over.wait(self._random.expovariate(1 / self._every_s)):
                return
            self._device.kill()
            self.done += 1
            away = threading.Event()
            back = threading.Timer(self._random.uniform(0.05, MOST_AWAY_S), away.set)
            back.start()
            self.look()
            away.wait()
            self._device.start()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()


@dataclass
class Campaign:
    """One campaign as a user starts it, and goes on with it as it says."""

    words: list[str]
    environment: dict[str, str]
    resumed: int = 0
    complaints: list[str] = field(default_factory=list)

    def run(self) -> int:
        """Exit code of the last command."""
        words = self.words
        for _ in range(MOST_TRIES):
            done = subprocess.run(
                [sys.executable, "-m", "profiler", *words],
                check=False,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            if done.returncode != _GIVEN_UP:
                return self._ended(done)
            # Found away at the very start it has nothing to go on with: the same again.
            command = done.stderr.partition(_GO_ON)[2].strip().splitlines()[:1]
            if command:
                words = shlex.split(command[0])[3:]
                self.resumed += 1
            time.sleep(1)
        return self._ended(done)

    def _ended(self, done: "subprocess.CompletedProcess[str]") -> int:
        self.complaints += done.stderr.splitlines()[-3:] if done.returncode > 1 else []
        return done.returncode


@dataclass(frozen=True)
class Soak:
    """What all campaigns share."""

    asked: argparse.Namespace
    device: DaemonProcess
    way: list[str]
    environment: dict[str, str]
    folder: Path

    def run(self) -> int:
        """Campaign after campaign; 1 if any of them has a fault."""
        kills, number, wrong, resumed = 0, 0, 0, 0
        while kills < self.asked.kills:
            killer = Killer(
                self.device, self.asked.kills - kills, self.asked.every, self.asked.seed + number
            )
            output = self.folder / f"tables{number}"
            self._clean()
            campaign = Campaign([*self._words(), "-o", str(output)], self.environment)
            with killer:
                code = campaign.run()
            found = [*killer.found, *self._faults(code, campaign, output)]
            kills, number, wrong = kills + killer.done, number + 1, wrong + bool(found)
            resumed += campaign.resumed
            said = "; ".join(found[:5]) or "whole"
            print(
                f"campaign {number}: exit code {code}, {killer.done} kills, "
                f"{campaign.resumed} resumed, {said}",
                flush=True,
            )
        print(
            f"{self.asked.transport}: {kills} kills in {number} campaigns, {resumed} resumed: "
            f"{wrong} with faults"
        )
        return 1 if wrong or not kills else 0

    def _words(self) -> list[str]:
        words = ["--device", "android", *self.way, "--space", self.asked.space, "--fast"]
        words += ["--filter", self.asked.filter] if self.asked.filter else []
        return [*words, "--timeout", str(self.asked.timeout), "--quiet"]

    def _clean(self) -> None:
        """So that the next campaign copies all of its files, and is killed in doing so."""
        command = [sys.executable, "-m", "profiler", "devices", "clean", *self.way]
        subprocess.run(command, check=True, env=self.environment, stdout=subprocess.DEVNULL)

    def _faults(self, code: int, campaign: Campaign, output: Path) -> list[str]:
        found = [] if code in (0, 1) else [f"exit code {code}", *campaign.complaints]
        tables = [read_table(path.parent) for path in output.glob("*/*/manifest.json")]
        found += [] if len(tables) == 1 else [f"{len(tables)} tables"]
        for table in tables:
            found += faults_of_table(table, wanted(self.asked.space, self.asked.filter))
        state = self.device.settings
        return found + faults_of_device(
            self.device.root / KIT,
            state.fixed_performance,
            state.stay_on,
            len(self.device.runners()),
        )


def wanted(space: str, pattern: str | None) -> set[str]:
    """Names of all that such a campaign measures."""
    settings = CampaignSettings(
        device="android",
        space=make_space(space).spec,
        dtype="fp32",
        backend="xnnpack",
        threads=1,
        affinity=None,
        runner="auto",
        seed=0,
        effort=PRESETS["fast"],
        filter=pattern,
    )
    return {subject.name for subject in make_plan(settings).exports}


@contextlib.contextmanager
def reached(device: DaemonProcess, transport: str, home: Path) -> Iterator[list[str]]:
    """The options by which a campaign reaches the device."""
    if transport == "tcp":
        yield ["--connect", device.address]
        return
    if not AdbServer.installed():
        sys.exit("Debian's adb is not installed (apt install adb).")
    with AdbServer(home) as server:
        serial = server.connect(device.address)
        yield ["--adb-server", server.address, "--serial", serial]


def main() -> int:
    """Go on until the daemon was killed so many times."""
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--kills", type=int, default=50)
    made.add_argument("--every", type=float, default=8.0, help="mean seconds between kills")
    made.add_argument("--transport", choices=("tcp", "server"), default="tcp")
    made.add_argument("--phone", help="a described phone (tests/loopback/phones.py)")
    made.add_argument("--space", default="fbnet")
    made.add_argument("--filter", help="only operators whose key matches, without networks")
    made.add_argument(
        "--timeout", type=float, default=120.0, help="the kit's; below 5 it gives up and is resumed"
    )
    made.add_argument("--seed", type=int, default=0)
    asked = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="kit-soak-") as name:
        folder = Path(name)
        environment = {**os.environ, "ANDROID_USER_HOME": str(folder / "home")}
        (folder / "home").mkdir()
        # A serial of its own: another device on this machine has its own lock.
        options = ["--serial", f"soak-{os.getpid()}"]
        options += ["--phone", asked.phone] if asked.phone else []
        with (
            DaemonProcess(folder / "device", *options) as device,
            reached(device, asked.transport, folder / "adb") as way,
        ):
            return Soak(asked, device, way, environment, folder).run()


if __name__ == "__main__":
    sys.exit(main())
