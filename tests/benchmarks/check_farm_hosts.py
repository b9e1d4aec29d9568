"""A real farm on one machine under kill -9: Ray nodes, two hosts, loopback phones, campaigns.

    python -m tests.benchmarks.check_farm_hosts --kills 25 --runs 8 --folder DIR [--seed 0]

Needs the extras profile and farm, and builds the native runner. The registry's actor, a host's
actor, a Ray node's raylet, the head, a phone's daemon, a runner, the process that carries a
command's calls, or the campaign itself is killed, one to four of them within two seconds: while
phones measure, or while what was killed before is still coming back. Supervisors start them again,
the campaign by --resume; a campaign that ends before all kills are spent is followed by another
one. Every item of every table must have each of its blocks once, and the rows of a campaign on one
phone at one host. With --namespaces each of the two hosts has a network of its own, and the cable
between them is cut from time to time. Each run is a farm of its own with a seed of its own; what
ended well is kept in DIR, and not run again. Ends with 1, and the reason, if anything was wrong.
What is measured are times of this machine, not of phones.
"""

import argparse
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from profiler.tables.phones import phone_lines
from search.table.store import Table, read_table
from tests.benchmarks.farm_namespaces import Namespaces
from tests.benchmarks.farm_processes import FarmProcesses

WHAT = ["--device", "android", "--space", "fbnet-mini", "--filter", "_e1_", "--fast"]
KINDS = (
    *("registry", "raylet", "head", "carrier", "runner"),
    *(kind for kind in ("host", "daemon", "campaign") for _ in range(2)),
)
MARKS = {
    "registry": "ray::RegistryActor",
    "host": "ray::HostActor",
    "raylet": "raylet/raylet",
    "head": "gcs_server",
    "carrier": "farm_ray.carrier",
}
# One in so many bursts does not wait until phones measure again.
_IMPATIENT = 3
_MOST_WAIT_S = 45.0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=25, help="of each run")
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--seed", type=int, default=0, help="of the first run")
    options.add_argument("--phones", type=int, default=2)
    options.add_argument("--rounds", type=int, default=60, help="blocks an item, at least")
    options.add_argument("--ttl", type=float, default=15.0, help="of leases, seconds")
    options.add_argument("--port", type=int, default=26_399)
    options.add_argument(
        "--namespaces",
        action="store_true",
        help="a network namespace a host; their cable is cut too",
    )
    options.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the farm's processes too
    with tempfile.TemporaryDirectory(prefix="kf-") as spare:
        folder = given.folder or Path(spare)
        wrong = [
            seed for seed in range(given.seed, given.seed + given.runs) if run(given, folder, seed)
        ]
    told = f"{given.runs} runs of {given.kills} kills"
    print(f"{told}: wrong with seeds {wrong}" if wrong else f"{told}: all is well")
    return int(bool(wrong))


def run(given: argparse.Namespace, folder: Path, seed: int) -> int:
    """One farm under one seed; 0 if all is well, also where it was so in an earlier call."""
    kept = folder / f"seed-{seed}.json"
    if kept.exists():
        print(f"seed {seed}: {kept.read_text()}")
        return 0
    print(f"--- seed {seed}, {given.kills} kills", flush=True)
    began = time.monotonic()
    hosts = Namespaces(given.port) if given.namespaces else None
    farm = FarmProcesses(folder / f"s{seed}", given.port, given.phones, namespaces=hosts)
    trial = Trial(farm, [*WHAT, "--iterations", str(given.rounds)], random.Random(seed))
    with hosts.made() if hosts else contextlib.nullcontext():
        code = trial.run(given.kills, given.ttl)
    told = {"killed": dict(sorted(trial.killed.items())), "campaigns": trial.campaigns}
    told["seconds"] = round(time.monotonic() - began)
    print(f"seed {seed}: {json.dumps(told)}: {'wrong' if code else 'all is well'}", flush=True)
    if code == 0:
        kept.write_text(json.dumps(told))
    return code


class Trial:
    """Campaigns on one farm while its processes are killed."""

    def __init__(self, farm: FarmProcesses, what: list[str], draw: random.Random) -> None:
        self.farm = farm
        self.what = what
        self.draw = draw
        self.kinds = (*KINDS, "cable") if farm.namespaces else KINDS
        self.mended_s = math.inf
        self.killed: Counter[str] = Counter()
        self.campaigns = 0

    def run(self, kills: int, ttl_s: float) -> int:
        tables: list[Table | None] = []
        with self.farm.running("--ttl", f"{ttl_s:g}"):
            left = kills
            while left:
                left = self.campaign(left)
                tables.append(self.table(f"farm-{self.campaigns}"))
            if self.mended_s < math.inf:
                self.mend()
            port = self.farm.phone_ports[0]
            output = str(self.farm.folder / "one")
            self.command("one", "--connect", f"127.0.0.1:{port}", "-o", output).wait()
            one = self.table("one")
        if one is None:
            print(f"no table of one phone; see {self.farm.folder}/one.log")
            return 1
        return max(verdict(table, one) for table in tables)

    def campaign(self, kills: int) -> int:
        """Run one to its end, with kills; how many are left."""
        self.campaigns += 1
        output = self.farm.folder / f"farm-{self.campaigns}"
        words = ["--farm", self.farm.address, "-o", str(output), "--quiet"]
        child, next_s = self.command("campaign", *words), 0.0
        due, deadline_s = 0, time.monotonic() + 1800
        while time.monotonic() < deadline_s:
            code = child.poll()
            # Exit code 1: a partial table has no exam. Others are an end before its time.
            if code in (0, 1):
                return kills
            if code is not None:
                time.sleep(0.5)
                began = any((output / ".journal").glob("*.sqlite"))
                child = self.command("campaign", *words, *(["--resume"] if began else []))
            if time.monotonic() > self.mended_s:
                self.mend()
            if kills and not due:
                due, next_s = self.burst(kills)
            if due and time.monotonic() > next_s:
                done = self.kill_one(child)
                due, kills = due - done, kills - done
                next_s = time.monotonic() + self.draw.uniform(0.0, 0.7)
            time.sleep(0.1)
        child.kill()
        print(f"a campaign did not end; see {self.farm.folder}/campaign.log")
        return 0

    def command(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        return self.farm.profiler(name, *self.what, *words)

    def burst(self, most: int) -> tuple[int, float]:
        """How many are killed next, and when: mostly once phones measure."""
        if self.draw.randrange(_IMPATIENT):
            until = time.monotonic() + _MOST_WAIT_S
            while time.monotonic() < until and not self.farm.runners():
                if self.farm.children["campaign"].poll() is not None:
                    break
                time.sleep(0.2)
        return min(most, self.draw.randint(1, 4)), time.monotonic() + self.draw.uniform(0.2, 5.0)

    def kill_one(self, campaign: "subprocess.Popen[bytes]") -> int:
        """Kill one process of a kind drawn by chance; 0 where there is none of it now."""
        kind = self.draw.choice(self.kinds)
        if kind == "cable":
            if self.mended_s < math.inf:
                return 0
            self.cut()
        elif kind == "daemon":
            number = self.draw.randrange(len(self.farm.phone_ports))
            self.farm.children[f"phone-{number}"].kill()
            self.farm.children[f"phone-{number}"].wait()
            self.farm.phone(number)
        elif kind == "campaign":
            if campaign.poll() is not None:
                return 0
            campaign.kill()
        else:
            found = self.farm.runners() if kind == "runner" else self.farm.with_mark(MARKS[kind])
            if not found:
                return 0
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.draw.choice(sorted(found)), signal.SIGKILL)
        self.killed[kind] += 1
        print(f"{time.strftime('%X')} killed {kind}", flush=True)
        return 1

    def cut(self) -> None:
        """Part the two hosts for a while: too short for anything to notice, or for everything."""
        assert self.farm.namespaces is not None
        self.farm.namespaces.cut()
        self.mended_s = time.monotonic() + self.draw.choice((2.0, 10.0, 40.0))

    def mend(self) -> None:
        """Let the two hosts reach each other again."""
        assert self.farm.namespaces is not None
        self.farm.namespaces.mend()
        self.mended_s = math.inf

    def table(self, name: str) -> Table | None:
        folders = [path.parent for path in (self.farm.folder / name).glob("*/*/manifest.json")]
        return read_table(folders[0]) if len(folders) == 1 else None


def verdict(farm: Table | None, one: Table) -> int:
    """Print what is wrong with a farm's table beside that of one phone; 1 if anything is."""
    if farm is None:
        print("a campaign left no table")
        return 1
    problems = [
        *doubled(farm),
        *(["the rows differ"] if rows(farm) != rows(one) else []),
        *(["a row failed"] if any(row.status == "failed" for row in farm.entries) else []),
    ]
    apart = sorted(
        abs(a.time.centre_us / b.time.centre_us - 1)
        for a, b in zip(farm.entries, one.entries, strict=False)
        if a.time and b.time
    )
    if apart:
        print(
            f"{len(apart)} rows: times of the two tables are {apart[len(apart) // 2]:.1%} "
            f"(median) and {apart[-1]:.1%} (largest) apart"
        )
    print("\n".join([*phone_lines(farm.manifest.phones), *farm.manifest.notes]))
    print("; ".join(problems) or "every item has each block once; the rows are the same")
    return int(bool(problems))


def rows(table: Table) -> list[str]:
    return [row.key for row in table.entries]


def doubled(table: Table) -> list[str]:
    """What is wrong with the blocks: a pass without all of them, or one twice."""
    samples = table.samples()
    wrong = []
    if samples.duplicated(["item", "pass", "round"]).any():
        wrong.append("a block stands there twice")
    if samples.duplicated(["item", "at_ns"]).any():
        wrong.append("one measurement was counted twice")
    rounds = table.manifest.protocol.rounds_per_pass
    if not samples.groupby(["item", "pass"]).size().eq(rounds).all():
        wrong.append("an item lacks blocks of a pass")
    if samples.groupby("pass")["item"].nunique().nunique() != 1:
        wrong.append("an item is missing in a pass")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
