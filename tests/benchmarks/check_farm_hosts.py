"""A real farm on one machine under kill -9: Ray nodes, two hosts, loopback phones, one campaign.

    python -m tests.benchmarks.check_farm_hosts --kills 20 [--seed 0] [--phones 2] [--folder DIR]

Needs the extras profile and farm, and builds the native runner. Every few seconds one of the
registry's actor, a host's actor, a Ray node's raylet, the head, a phone's daemon or the campaign
is killed; supervisors start them again, the campaign by --resume. At the end every item must
have each of its blocks once, and the table the rows of a campaign on one phone at one host. Ends
with 1, and the reason, if not. What is measured are times of this machine, not of phones.
"""

import argparse
import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from search.table.store import Table, read_table

PORT = 26_399
FARM = f"127.0.0.1:{PORT}"
WHAT = ["--device", "android", "--space", "fbnet-mini", "--filter", "_e1_", "--fast"]
PAUSE_S = (4.0, 12.0)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--phones", type=int, default=2)
    options.add_argument("--rounds", type=int, default=120, help="blocks an item, at least")
    options.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="kf-") as spare:
        folder = given.folder or Path(spare)
        folder.mkdir(exist_ok=True)
        return Trial(folder, given.phones, given.rounds, random.Random(given.seed)).run(given.kills)


class Trial:
    def __init__(self, folder: Path, phones: int, rounds: int, draw: random.Random) -> None:
        self.folder = folder
        self.draw = draw
        self.ports = [PORT + 1 + number for number in range(phones)]
        self.what = [*WHAT, "--iterations", str(rounds)]
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: dict[str, int] = {}

    def run(self, kills: int) -> int:
        with self.closing():
            for number, port in enumerate(self.ports):
                self.phone(number, port)
            self.profiler("start", "farm", "start", "--port", str(PORT))
            self.wait_for("start", "Ctrl-C")
            for half in (0, 1):
                phones = [f"--connect=127.0.0.1:{port}" for port in self.ports[half::2]]
                self.profiler(f"join-{half}", "farm", "join", FARM, f"--name=h{half}", *phones)
            for half in (0, 1):
                self.wait_for(f"join-{half}", "Ctrl-C")
            time.sleep(8)
            began = time.monotonic()
            code = self.campaign(kills)
            print(f"campaign: exit code {code}, {time.monotonic() - began:.0f} s")
            print(
                f"killed: {dict(sorted(self.killed.items()))}, {sum(self.killed.values())} in all"
            )
            one = ["--connect", f"127.0.0.1:{self.ports[0]}", "-o", str(self.folder / "one")]
            self.profiler("one", *self.what, *one).wait()
        return self.verdict()

    def campaign(self, kills: int) -> int | None:
        """Run it to its end, with kills from time to time."""
        words = [*self.what, "--farm", FARM, "-o", str(self.folder / "farm"), "--quiet"]
        child, left = self.profiler("campaign", *words), kills
        next_s = time.monotonic() + 15
        while True:
            code = child.poll()
            # Exit code 1: a partial table has no exam. Others are an end before its time.
            if code in (0, 1):
                return code
            if code is not None:
                time.sleep(3)
                began = any((self.folder / "farm" / ".journal").glob("*.sqlite"))
                child = self.profiler("campaign", *words, *(["--resume"] if began else []))
            if left and time.monotonic() > next_s:
                left -= self.kill_one(child)
                next_s = time.monotonic() + self.draw.uniform(*PAUSE_S)
            time.sleep(0.2)

    def kill_one(self, campaign: "subprocess.Popen[bytes]") -> int:
        kind = self.draw.choice(
            ("registry", "host", "host", "raylet", "head", "daemon", "campaign")
        )
        if kind == "daemon":
            number = self.draw.randrange(len(self.ports))
            self.children[f"phone-{number}"].kill()
            self.children[f"phone-{number}"].wait()
            self.phone(number, self.ports[number])
        elif kind == "campaign":
            campaign.kill()
        else:
            marks = {
                "registry": "ray::RegistryActor",
                "host": "ray::HostActor",
                "raylet": "raylet/raylet",
                "head": "gcs_server",
            }
            found = self.ours(marks[kind])
            if not found:
                return 0
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.draw.choice(found), signal.SIGKILL)
        self.killed[kind] = self.killed.get(kind, 0) + 1
        print(f"{time.strftime('%X')} killed {kind}", flush=True)
        return 1

    def ours(self, mark: str) -> list[int]:
        """Processes with this in their command line and this trial's cache in their variables."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                cmdline = (path / "cmdline").read_bytes()
                words = cmdline.replace(b"\0", b" ").decode(errors="replace")
                variables = (path / "environ").read_bytes()
                if mark in words and f"KIT_CACHE={self.folder}/c\0".encode() in variables:
                    found.append(int(path.name))
        return found

    def phone(self, number: int, port: int) -> None:
        root = self.folder / f"phone-{number}"
        words = ["--port", str(port), "--serial", f"farm-{number}", "--root", str(root), "--keep"]
        self.start(f"phone-{number}", [sys.executable, "-m", "tests.loopback", *words])
        self.wait_for(f"phone-{number}", "listening")

    def profiler(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        return self.start(name, [sys.executable, "-m", "profiler", *words])

    def start(self, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "KIT_CACHE": str(self.folder / "c"), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            self.children[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL
            )
        return self.children[name]

    def wait_for(self, name: str, text: str) -> None:
        deadline = time.monotonic() + 180
        while text not in (self.folder / f"{name}.log").read_text(errors="replace"):
            if time.monotonic() > deadline or self.children[name].poll() is not None:
                raise SystemExit(f"{name} did not start; see {self.folder / name}.log")
            time.sleep(0.2)

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        try:
            self.start("runner", [sys.executable, "-m", "device_agents.native"]).wait()
            yield
        finally:
            for name in sorted(self.children, key=lambda name: not name.startswith("join")):
                self.children[name].terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.children[name].wait(60)
                self.children[name].kill()

    # --- what must hold

    def verdict(self) -> int:
        tables = {name: self.table(name) for name in ("farm", "one")}
        problems = [name for name, table in tables.items() if table is None]
        if problems:
            print(f"no table: {', '.join(problems)} (see {self.folder})")
            return 1
        farm, one = (table for table in tables.values() if table is not None)
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
        print("\n".join(farm.manifest.notes))
        print("; ".join(problems) or "every item has each block once; the rows are the same")
        return int(bool(problems))

    def table(self, name: str) -> Table | None:
        folders = [path.parent for path in (self.folder / name).glob("*/*/manifest.json")]
        return read_table(folders[0]) if len(folders) == 1 else None


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
