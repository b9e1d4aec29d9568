"""A farm of real processes on this machine: stand-in phones, `farm start`, two `farm join`."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from device_agents.native import build as native
from tests.benchmarks.farm_namespaces import Namespaces
from tests.loopback.ground import processes_of

_START_S = 240.0


class FarmProcesses:
    """The processes of one farm, with a cache of their own in a folder.

    Args:
        folder: Logs, phones and the cache.
        port: The farm's; phones get the numbers behind it.
        phones: How many.
        phone_words: More options of each phone.
        ways: What `farm join` of each of two hosts is told; by default its phones' own daemons.
        namespaces: Where the two hosts live; the head and the campaigns are at the first.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        phones: int,
        *,
        phone_words: Sequence[str] = (),
        ways: Sequence[Sequence[str]] = (),
        namespaces: Namespaces | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.phone_ports = [port + 1 + number for number in range(phones)]
        self.phone_words = phone_words
        self.namespaces = namespaces
        self.ways = ways or [
            [f"--connect=127.0.0.1:{port}" for port in self.phone_ports[half::2]] for half in (0, 1)
        ]
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        """HOST:PORT of the farm."""
        return f"{self._listen(0)}:{self.port}"

    def _listen(self, half: int) -> str:
        return self.namespaces.addresses[half] if self.namespaces else "127.0.0.1"

    @contextlib.contextmanager
    def running(self, *start: str) -> Iterator[None]:
        """Phones, head and two hosts, each with half of the phones; `start` are its options."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._take_runner()
            for number in range(len(self.phone_ports)):
                self.phone(number)
            self.prepare()
            own = ["--port", str(self.port), "--listen", self._listen(0)]
            self.profiler("start", "farm", "start", *own, *start)
            self.wait_for("start", "Ctrl-C")
            for half, way in enumerate(self.ways):
                own = [self.address, f"--name=h{half}", "--listen", self._listen(half)]
                self.profiler(f"join-{half}", "farm", "join", *own, *way)
            for half in (0, 1):
                self.wait_for(f"join-{half}", "Ctrl-C")
            self._wait_for_phones()
            yield
        finally:
            self._end()

    def _take_runner(self) -> None:
        """The native runner from this user's cache; it is built there once."""
        if native.find() is None:
            subprocess.run([sys.executable, "-m", "device_agents.native"], check=True)
        built = native.find()
        assert built is not None
        own = self.folder / "c" / "runners" / built.parent.name
        shutil.copytree(built.parent, own, dirs_exist_ok=True)

    def prepare(self) -> None:
        """What is done between the start of the phones and that of the farm: nothing here."""

    def _wait_for_phones(self) -> None:
        """Until the farm has seen every phone."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            told = self.profiler("status", "farm", "status", self.address, "--format", "csv")
            told.wait()
            rows = self.said("status").rpartition("\n$ ")[2].splitlines()[2:]
            if len(rows) == len(self.phone_ports):
                return
            time.sleep(1)
        raise SystemExit(f"not every phone joined; see {self.folder}/status.log")

    def phone(self, number: int) -> None:
        """A phone's daemon; one that comes back keeps the phone's files and settings."""
        words = ["--port", str(self.phone_ports[number]), "--serial", f"farm-{number}", "--keep"]
        root = str(self.root_of(number))
        self.module(f"phone-{number}", "tests.loopback", *words, *self.phone_words, "--root", root)
        self.wait_for(f"phone-{number}", "listening")

    def root_of(self, number: int) -> Path:
        """A phone's files."""
        return self.folder / f"phone-{number}"

    def profiler(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command; its output is in the log of this name."""
        return self.module(name, "profiler", *words)

    def module(self, name: str, module: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start a module of the kit; its output is in the log of this name."""
        return self._start(name, [sys.executable, "-m", module, *words])

    def _start(self, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "KIT_CACHE": str(self.folder / "c"), "OMP_NUM_THREADS": "1"}
        if self.namespaces is not None:
            command = self.namespaces.within(_half_of(name), command)
        with self._log(name).open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self.children[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL
            )
        return self.children[name]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def said(self, name: str) -> str:
        """All that a process of this name has said."""
        return self._log(name).read_text(errors="replace")

    def wait_for(self, name: str, text: str) -> None:
        """Until the process has said this since it was last started."""
        until = time.monotonic() + _START_S
        while text not in self.said(name).rpartition("\n$ ")[2]:
            if time.monotonic() > until or self.children[name].poll() is not None:
                raise SystemExit(f"{name} did not start; see {self._log(name)}")
            time.sleep(0.1)

    def with_mark(self, mark: str) -> list[int]:
        """Processes with this in their command line and this farm's cache in their variables."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().replace(b"\0", b" ")
                variables = (path / "environ").read_bytes()
                if mark.encode() in words and f"KIT_CACHE={self.folder}/c\0".encode() in variables:
                    found.append(int(path.name))
        return found

    def runners(self) -> list[int]:
        """Runners that measure on the phones now."""
        return [
            pid
            for number in range(len(self.phone_ports))
            for pid, words in processes_of(self.root_of(number)).items()
            if b"fbnet-kit/files/" in words.split(b"\0")[0]
        ]

    def _end(self) -> None:
        """End all: hosts before the head, phones last; nothing of this farm is left."""
        for name in sorted(self.children, key=_turn):
            child = self.children[name]
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(60)
            child.kill()
            child.wait()
        for pid in self.with_mark(""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _half_of(name: str) -> int:
    """The host of a process: phones with odd numbers hang on the second."""
    kind, _, number = name.partition("-")
    return int(number) % 2 if kind in ("join", "phone") else 0


def _turn(name: str) -> int:
    """When a process is ended: commands first, phones last."""
    order = ("join", "start", "phone")
    kind = name.partition("-")[0]
    return order.index(kind) if kind in order else -1
