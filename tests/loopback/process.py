"""The loopback device in a process of its own, which can be killed as adbd can."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from .ground import end_processes, processes_of
from .tools import Settings

ROOT = Path(__file__).resolve().parents[2]
KIT = "data/local/tmp/fbnet-kit"


class DaemonProcess:
    """`python -m tests.loopback` on one port and one root; a context manager.

    `kill` is SIGKILL: nothing is tidied up, and what ran on the device lives on
    until it notices. `start` after it is a daemon that came back on the same
    device: files and settings are as they were.

    Args:
        root: The device's files.
        options: Further options of the command line.
    """

    def __init__(self, root: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.root = root.resolve()
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, which is also its serial number to adb."""
        return f"127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        """What commands changed."""
        return Settings(self.root / "loopback")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        end_processes(self.root)

    def start(self) -> None:
        """Start it, and return once it listens."""
        spare = self.root.with_name(f"{self.root.name}-spare")
        spare.mkdir(parents=True, exist_ok=True)
        words = ["--port", str(self.port), "--root", str(self.root), "--keep", *self._options]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __package__, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(spare)},
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said.startswith("listening on"), said

    def kill(self) -> None:
        """Kill it; works twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def runners(self) -> list[int]:
        """Processes that execute a file of the kit on this device."""
        emulated = r"(?:[^\0]*qemu-aarch64[^\0]*\0-cpu\0[^\0]*\0)?"
        loader = r"runtimes/[0-9a-f]{64}/ld-linux-aarch64\.so\.1"
        program = re.compile(
            rf"{emulated}/{re.escape(KIT)}/(?:files/[0-9a-f]{{64}}|{loader})\0".encode()
        )
        return [pid for pid, line in processes_of(self.root).items() if program.match(line)]
