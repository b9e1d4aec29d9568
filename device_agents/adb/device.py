"""One Android device: commands, lines and files, over any transport.

Every command may run twice: where the connection breaks it is opened again,
once, and the command repeated. Files appear under their name only after the
device itself has confirmed their content.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from device_agents.adb import shell, sync
from device_agents.adb.copying import Copying, FileCopy
from device_agents.adb.shell import CommandResult
from device_agents.adb.transport import AdbTransport
from search.errors import ConnectionLost, DeviceError, Transient

COMMAND_S = 20.0
CONNECT_S = 10.0
_PAUSE_S = 0.25
_ATTEMPTS = 2

Result = TypeVar("Result")


class AdbDevice:
    """Commands and files of one device.

    Args:
        transport: The connection to it.
        patience_s: How long a device that disconnected may take to come back.
        timeout_s: The longest silence of one command.
        say: Called with one sentence for the user.
    """

    def __init__(
        self,
        transport: AdbTransport,
        patience_s: float = 20.0,
        timeout_s: float = COMMAND_S,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.transport = transport
        self._copying = Copying(self, say)
        self.patience_s = patience_s
        self.timeout_s = timeout_s

    @property
    def serial(self) -> str:
        """The device's name on this connection."""
        return self.transport.serial

    def connect(self) -> None:
        """Connect for the first time, without waiting for the device.

        Raises:
            DeviceError, ConnectionLost, DeviceTimeout: From the transport.
        """
        self.transport.connect(CONNECT_S)

    def reconnect(self) -> None:
        """Connect again, waiting for a device that disconnected.

        Raises:
            ConnectionLost: It did not come back.
        """
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return self.transport.connect(min(CONNECT_S, max(self.patience_s, 1.0)))
            except Transient as error:
                if time.monotonic() >= deadline:
                    raise ConnectionLost(
                        f"The device {self.serial} went away and did not come back within "
                        f"{self.patience_s:.0f} s: {error.message}",
                        "Check cable and screen, then run again with --resume.",
                    ) from error
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Disconnect."""
        self.transport.close()

    # --- commands

    def run(self, argv: Sequence[str], timeout_s: float | None = None) -> CommandResult:
        """Run one command to its end, whatever its exit code.

        Raises:
            ConnectionLost, DeviceTimeout: Both attempts failed.
        """
        return self.run_all([argv], timeout_s)[0]

    def run_all(
        self, commands: Sequence[Sequence[str]], timeout_s: float | None = None
    ) -> list[CommandResult]:
        """Run commands that do not depend on each other, in few round trips."""
        limit = self.timeout_s if timeout_s is None else timeout_s
        results: list[CommandResult] = []
        for batch in shell.script_batches(commands):
            results += self._retry_once(partial(shell.execute, self.transport, batch, limit))
        return results

    def check(self, argv: Sequence[str], failure: str) -> str:
        """Run a command that must succeed; returns its output.

        Raises:
            DeviceError: It failed; the message is `failure` and the command's last error line.
        """
        result = self.run(argv)
        if result.code:
            raise DeviceError(f"{failure} (exit code {result.code}): {result.last_error_line}.")
        return result.text

    def start(self, argv: Sequence[str], timeout_s: float) -> shell.Running:
        """Start a command and read its lines; never repeated."""
        return shell.Running(self.transport, argv, timeout_s)

    # --- files

    def push(
        self,
        source: Path,
        path: str,
        sha256: str,
        mode: int = 0o644,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Copy a file: to `.part`, compared by the device, then renamed.

        Raises:
            DeviceError: The device is full, or the copy differs.
            ConnectionLost, DeviceTimeout: Both attempts failed.
        """
        self.push_all([FileCopy(source=source, path=path, sha256=sha256, mode=mode)], progress)

    def push_all(
        self, copies: Sequence[FileCopy], progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Copy files in few round trips, each as `push` does.

        Where one is refused, those before it are there; so are all whose copies are right.

        Raises:
            DeviceError, ConnectionLost, DeviceTimeout: As `push`.
        """
        self._retry_once(lambda: self._copying.copy(copies, progress))

    def pull(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            DeviceError: There is no such file.
            ConnectionLost, DeviceTimeout: Both attempts failed.
        """
        return self._retry_once(lambda: b"".join(self.read(path)))

    def read(self, path: str) -> Iterator[bytes]:
        """The parts of a file, as they come; not repeated where the connection breaks.

        Raises:
            DeviceError, ConnectionLost, DeviceTimeout: As `pull`, at the first attempt.
        """
        with closing(self.transport.open("sync:", self.timeout_s)) as stream:
            yield from sync.receive_file(stream, path, self.timeout_s)

    def _retry_once(self, work: Callable[[], Result]) -> Result:
        for attempt in range(_ATTEMPTS):
            try:
                return work()
            except Transient:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self.reconnect()
        raise AssertionError("the last attempt returns or raises")
