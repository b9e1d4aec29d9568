"""Campaigns on a loopback device whose daemon is killed at random moments.

    python -m tests.benchmarks.soak_android --kills 50 --filter _e1_m16

Prints one line a campaign and fails if an operator was lost, a block counted
twice, a partial file used, or a setting left changed.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from search.table import Table, read_table
from tests.loopback.device import LoopbackDevice

MOST_AWAY_S = 5.0


class Killer:
    """Stops the daemon at random moments and starts it again within five seconds."""

    def __init__(self, device: LoopbackDevice, kills: int, every_s: float, seed: int) -> None:
        self._device = device
        self._left = kills
        self._every_s = every_s
        self._random = random.Random(seed)
        self._over = threading.Event()
        self.done = 0
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        while self.done < self._left:
            if self._over.wait(self._random.expovariate(1 / self._every_s)):
                return
            self._device.stop()
            self._over.wait(self._random.uniform(0.05, MOST_AWAY_S))
            self._device.start()
            self.done += 1

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def faults_of(table: Table, passes: int, rounds: int) -> list[str]:
    """What is wrong with a table after all those kills."""
    samples = table.samples()
    base = samples[samples["pass"] < passes]
    counts = base.groupby("item").size()
    found = [f"lost: {entry.key}" for entry in table.entries if entry.status == "failed"]
    found += [f"incomplete: {item}" for item, count in counts.items() if count != passes * rounds]
    if samples.duplicated(["item", "pass", "round"]).any():
        found.append("a block was counted twice")
    return found


def campaign(device: LoopbackDevice, output: Path, pattern: str, rounds: int) -> int:
    """One campaign as a user starts it; returns its exit code."""
    words = ["--device", "android", "--connect", device.address, "--space", "fbnet-mini"]
    words += ["--filter", pattern, "--fast", "--iterations", str(4 * rounds)]
    words += ["--precision", "90", "--quiet", "-o", str(output)]
    command = [sys.executable, "-m", "profiler", *words]
    while True:
        # A device that is away at the very start leaves nothing to resume.
        begun = any(output.glob(".journal/*.sqlite"))
        resume = ["--resume"] if begun else []
        done = subprocess.run([*command, *resume], check=False, env=dict(os.environ))
        if done.returncode != 3:
            break
    return done.returncode


def main() -> int:
    """Go on until the daemon was killed so many times."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--kills", type=int, default=50)
    made.add_argument("--every", type=float, default=2.0, help="mean seconds between kills")
    made.add_argument("--filter", default="_e1_m16")
    made.add_argument("--rounds", type=int, default=200)
    made.add_argument("--seed", type=int, default=0)
    asked = made.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="kit-soak-") as folder,
        LoopbackDevice(Path(folder) / "device") as device,
    ):
        return soak(asked, device, Path(folder))


def soak(asked: argparse.Namespace, device: LoopbackDevice, folder: Path) -> int:
    """Campaign after campaign; 1 if any of them has a fault."""
    kills, number, wrong = 0, 0, 0
    while kills < asked.kills:
        output = folder / f"tables{number}"
        killer = Killer(device, asked.kills - kills, asked.every, asked.seed + number)
        with killer:
            code = campaign(device, output, asked.filter, asked.rounds)
        kills, number = kills + killer.done, number + 1
        found = [] if code in (0, 1) else [f"exit code {code}"]
        for path in output.glob("*/*/manifest.json"):
            found += faults_of(read_table(path.parent), 4, asked.rounds)
        if device.settings.fixed_performance:
            found.append("fixed-performance mode is still on")
        files = device.files.within("data/local/tmp/fbnet-kit/files")
        found += [f"partial: {path.name}" for path in files.glob("*.part")]
        wrong += bool(found)
        print(f"campaign {number}: {killer.done} kills, {found or 'whole'}", flush=True)
    print(f"{kills} kills in {number} campaigns: {wrong} campaigns with faults")
    return 1 if wrong or not kills else 0


if __name__ == "__main__":
    sys.exit(main())
