"""One Android device: commands, lines and files, over any transport.

Every command may run twice: where the connection breaks it is opened again,
once, and the command repeated. Files appear under their name only after the
device itself has confirmed their content.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from device_agents.adb import shell, sync
from device_agents.adb.shell import CommandResult
from device_agents.adb.transport import AdbTransport
from search.errors import ConnectionLost, DeviceError, Transient

COMMAND_S = 20.0
CONNECT_S = 10.0
_PAUSE_S = 0.25
# Programs that print a file's checksum, and the algorithm of each; Android 7 lacks the first.
_CHECKSUMS = {"sha256sum": "sha256", "sha1sum": "sha1", "md5sum": "md5"}
_NO_PROGRAM = (126, 127)  # a shell's exit codes for a program that it cannot start
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
        self._say = say
        self._programs = list(
            _CHECKSUMS
        )  # for checksums: of these, the first one that the device has
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
        self._retry_once(lambda: self._push(source, path, sha256, mode, progress))

    def _push(
        self, source: Path, path: str, sha256: str, mode: int, progress: Callable[[int], None]
    ) -> None:
        part = f"{path}.part"
        with (
            source.open("rb") as content,
            closing(self.transport.open("sync:", self.timeout_s)) as stream,
        ):
            sync.send_file(stream, content, part, mode, self.timeout_s, progress)
        copied, expected, chmod = self._checksums_of(source, part, sha256, mode)
        if copied != expected:
            self.run(["rm", "-f", part])
            raise DeviceError(
                f"The copy of {source.name} on the device differs from the original.",
                "Try another cable or port; see also whether the device is full.",
            )
        rename = self.run(["mv", "-f", part, path])
        # Repeated after a break, the rename may be done already.
        if rename.code and self.run(["test", "-f", path]).code:
            raise DeviceError(f"The device cannot rename {part}: {rename.last_error_line}.")
        if chmod.code:
            raise DeviceError(f"The device cannot set the mode of {path}: {chmod.last_error_line}.")

    def _checksums_of(
        self, source: Path, part: str, sha256: str, mode: int
    ) -> tuple[str, str, CommandResult]:
        """Checksum of the copy and of the original, and the result of setting the mode.

        The device computes it with a program that it has; without one, the copy is read back.

        Raises:
            DeviceError: It cannot read the copy.
        """
        set_mode = ["chmod", f"{mode:o}", part]
        while self._programs:
            program = self._programs[0]
            answer, chmod = self.run_all([[program, part], set_mode])
            if answer.code in _NO_PROGRAM:
                self._programs.pop(0)
                other = f"{self._programs[0]} checks" if self._programs else "reading back checks"
                self._say(f"The device has no {program}: {other} the files that are copied to it.")
                continue
            if answer.code:
                self.run(["rm", "-f", part])
                raise DeviceError(
                    f"The device cannot check the copy of {source.name}: {answer.last_error_line}."
                )
            algorithm = _CHECKSUMS[program]
            original = sha256
            if algorithm != "sha256":
                original = _digest(source.read_bytes(), algorithm)
            return answer.text.split(" ")[0].lstrip("\\"), original, chmod
        return _digest(b"".join(self._pull(part)), "sha256"), sha256, self.run(set_mode)

    def pull(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            DeviceError: There is no such file.
            ConnectionLost, DeviceTimeout: Both attempts failed.
        """
        return self._retry_once(lambda: b"".join(self._pull(path)))

    def _pull(self, path: str) -> Iterator[bytes]:
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


def _digest(content: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
