"""An adb server of one's own, made by Debian's adb; the user's is never touched."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT_S = 120


class AdbServer:
    """A server on a port, with a home and keys of its own; a context manager.

    It looks for no emulators, which would be found on the ports of loopback devices.

    Args:
        home: Folder for its keys and log.
    """

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "ANDROID_USER_HOME": str(home),
            "TMPDIR": str(home),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",
        }

    @staticmethod
    def installed() -> bool:
        """Whether there is an adb to make one with."""
        return shutil.which("adb") is not None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.call("start-server")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call("kill-server")

    def call(self, *words: str) -> str:
        """What a command of adb prints."""
        done = subprocess.run(
            ["adb", "-P", str(self.port), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        return done.stdout

    def connect(self, address: str) -> str:
        """Connect to a device; returns the serial number by which it is then called."""
        answer = self.call("connect", address)
        assert "connected to" in answer, answer
        return address
