"""A farm's overhead, and its speed with four phones, as ratios of campaigns in one run.

    python -m tests.benchmarks.check_farm_speed [--record-ms 20] [--folder DIR]

Needs the extras profile and farm, adb, and builds the native runner. Four loopback phones of a
simulated speed: each record of a runner (a program loaded, a block timed) takes at least so many
milliseconds, so that two cores are enough for four phones. Two phones each hang on an adb server,
and each server on a host of the farm. Four campaigns of fbnet-mini are measured: on one phone, on
two of one host without a farm (`--serial A,B`), on two of two hosts, and on four. Wanted: the
farm's two phones take at most 2 % longer than the two without it, and four are at least 3.6
times as fast as one (a few items are measured by every phone: with these 372 items four phones
cannot be more than 3.87 times as fast). What counts is the time of a pass, from the second on:
in the first a farm copies files, the others do before it. What is between passes counts; starting
a command takes some seconds more, with and without a farm. Run it on a quiet machine.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from device_agents.protocol import CLOCK_STEP_NS
from search.table.store import read_table
from tests.benchmarks.farm_processes import FarmProcesses
from tests.loopback.adb_server import AdbServer

MOST_OVERHEAD, LEAST_SPEEDUP = 0.02, 3.6
WHAT = ["--device", "android", "--space", "fbnet-mini", "--fast", "--networks", "300"]
WHAT += ["--no-memory", "--iterations", "6"]
PORT = 25_399


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--record-ms", type=float, default=20.0, help="of each phone")
    options.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the farm's processes too
    with tempfile.TemporaryDirectory(prefix="ks-") as spare, contextlib.ExitStack() as stack:
        folder = given.folder or Path(spare)
        servers = [stack.enter_context(AdbServer(folder / f"adb-{half}")) for half in (0, 1)]
        farm = SlowFarm(folder, servers, given.record_ms / 1e3)
        stack.enter_context(farm.running())
        return verdict(farm.measured())


@dataclass(frozen=True, slots=True)
class Took:
    """A campaign: seconds of one pass, and of the whole command."""

    pass_s: float
    command_s: float


class SlowFarm(FarmProcesses):
    """Two hosts with an adb server each, and two phones of a simulated speed at each server."""

    def __init__(self, folder: Path, servers: Sequence[AdbServer], record_s: float) -> None:
        self.servers = servers
        super().__init__(
            folder,
            PORT,
            4,
            phone_words=["--fault", f"record_s={record_s}"],
            ways=[["--adb-server", server.address] for server in servers],
        )

    def prepare(self) -> None:
        for number, port in enumerate(self.phone_ports):
            self.servers[number // 2].connect(f"127.0.0.1:{port}")

    def measured(self) -> dict[str, Took]:
        """The campaigns by name; the two phones of the last are at two hosts."""
        serials = [f"127.0.0.1:{port}" for port in self.phone_ports]
        near = ["--adb-server", self.servers[0].address, "--serial"]
        farm = ["--farm", self.address]
        took = {
            "one": self.campaign("one", [*near, serials[0]]),
            "serial": self.campaign("serial", [*near, ",".join(serials[:2])]),
            "four": self.campaign("four", farm),
        }
        own = self.phones_of("serial")
        others = [phone for phone in self.phones_of("four") if phone not in own]
        left_out = [f"--leave-out={phone}" for phone in (own[1], others[1])]
        return {**took, "two": self.campaign("two", [*farm, *left_out])}

    def campaign(self, name: str, words: Sequence[str]) -> Took:
        began = time.monotonic()
        output = self.folder / name
        self.profiler(name, *WHAT, *words, "--quiet", "-o", str(output)).wait()
        seconds = time.monotonic() - began
        found = list(output.glob("*/*/manifest.json"))
        if not found:
            raise SystemExit(f"no table of {name}; see {self.folder}/{name}.log")
        table = read_table(found[0].parent)
        took = Took(pass_s(table.samples()), seconds)
        print(f"{name:7} {took.pass_s:7.3f} s a pass, {seconds:6.1f} s in all", flush=True)
        return took

    def phones_of(self, name: str) -> list[str]:
        (path,) = (self.folder / name).glob("*/*/manifest.json")
        phones = read_table(path.parent).manifest.phones
        return [] if phones is None else [phone.serial_hash for phone in phones.phones]


def pass_s(samples: pd.DataFrame) -> float:
    """Seconds from a pass to the next, from the second on, by the slowest phone's clock."""
    phone = samples["at_ns"] // CLOCK_STEP_NS
    begins = samples.groupby([phone, "pass"])["at_ns"].min().unstack().to_numpy()
    return float((begins[:, -1] - begins[:, 1]).max()) / 1e9 / (begins.shape[1] - 2)


def verdict(took: dict[str, Took]) -> int:
    """Print both ratios; 1 if one misses what is wanted."""
    overhead = took["two"].pass_s / took["serial"].pass_s - 1
    speedup = took["one"].pass_s / took["four"].pass_s
    print(f"overhead of a farm with two phones: {overhead:+.2%} (at most {MOST_OVERHEAD:.0%})")
    print(f"four phones are {speedup:.2f} times as fast as one (at least {LEAST_SPEEDUP})")
    return int(overhead > MOST_OVERHEAD or speedup < LEAST_SPEEDUP)


if __name__ == "__main__":
    sys.exit(main())
