"""Copies of files on an Android device, there under their names or not at all.

Many files share a connection, and the device checks and renames them in few scripts: a round
trip to a phone takes longer than the copy of a small file.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from device_agents.adb import sync
from device_agents.adb.shell import CommandResult
from device_agents.adb.transport import AdbTransport
from search.errors import DeviceError

# Programs that print a file's checksum, and the algorithm of each; Android 7 lacks the first.
_CHECKSUMS = {"sha256sum": "sha256", "sha1sum": "sha1", "md5sum": "md5"}
_NO_PROGRAM = (126, 127)  # a shell's exit codes for a program that it cannot start


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCopy:
    """A file, and where and how it is to lie on a device."""

    source: Path
    path: str
    sha256: str
    mode: int = 0o644

    @property
    def part(self) -> str:
        """Where the copy lies until the device has confirmed it."""
        return f"{self.path}.part"


class RunsCommands(Protocol):
    """What of a device (`device_agents.adb.device.AdbDevice`) copying needs."""

    transport: AdbTransport
    timeout_s: float

    def run_all(self, commands: Sequence[Sequence[str]]) -> list[CommandResult]:
        """Run commands that do not depend on each other."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """The parts of a file."""
        ...


class Copying:
    """Copies files to one device.

    Args:
        device: The device.
        say: Called with one sentence for the user.
    """

    def __init__(self, device: RunsCommands, say: Callable[[str], None]) -> None:
        self._device = device
        self._say = say
        # For checksums: of these, the first one that the device has.
        self._programs = list(_CHECKSUMS)

    def copy(self, copies: Sequence[FileCopy], progress: Callable[[int], None]) -> None:
        """Copy files; those that are right are there even where another one is refused.

        Raises:
            DeviceError: The device is full or refuses one, or a copy differs.
            ConnectionLost, DeviceTimeout: From the device.
        """
        if not copies:
            return
        sent: list[FileCopy] = []
        try:
            self._send(copies, sent, progress)
        except DeviceError:
            self._settle(sent)
            raise
        self._settle(sent)

    def _send(
        self, copies: Sequence[FileCopy], sent: list[FileCopy], progress: Callable[[int], None]
    ) -> None:
        limit = self._device.timeout_s
        with closing(self._device.transport.open("sync:", limit)) as stream:
            for copy in copies:
                with copy.source.open("rb") as content:
                    sync.send_file(stream, content, copy.part, copy.mode, limit, progress)
                sent.append(copy)

    def _settle(self, copies: Sequence[FileCopy]) -> None:
        """Rename the copies that are right, and remove the others.

        Raises:
            DeviceError: One is not, or the device refuses.
        """
        wrong = self._wrong(copies) if copies else {}
        if wrong:
            self._device.run_all([["rm", "-f", copy.part] for copy in wrong])
        right = [copy for copy in copies if copy not in wrong]
        renamed = self._device.run_all([["mv", "-f", copy.part, copy.path] for copy in right])
        for copy, rename in zip(right, renamed, strict=True):
            # Repeated after a break, the rename may be done already.
            if rename.code and self._device.run_all([["test", "-f", copy.path]])[0].code:
                raise DeviceError(
                    f"The device cannot rename {copy.part}: {rename.last_error_line}."
                )
        for error in wrong.values():
            raise error

    def _wrong(self, copies: Sequence[FileCopy]) -> dict[FileCopy, DeviceError]:
        """The copies that differ or cannot be checked, and why.

        The device computes checksums with a program that it has; without one, copies are read
        back.
        """
        set_mode = [["chmod", f"{copy.mode:o}", copy.part] for copy in copies]
        while self._programs:
            program = self._programs[0]
            checks = [[program, copy.part] for copy in copies]
            answers = self._device.run_all([*checks, *set_mode])
            if answers[0].code in _NO_PROGRAM:
                self._programs.pop(0)
                other = f"{self._programs[0]} checks" if self._programs else "reading back checks"
                self._say(f"The device has no {program}: {other} the files that are copied to it.")
                continue
            sums = [_told(copy, answer) for copy, answer in zip(copies, answers, strict=False)]
            algorithm = _CHECKSUMS[program]
            return _faults(copies, sums, answers[len(copies) :], algorithm)
        sums = [_digest(b"".join(self._device.read(copy.part)), "sha256") for copy in copies]
        return _faults(copies, sums, self._device.run_all(set_mode), "sha256")


def _told(copy: FileCopy, answer: CommandResult) -> str | DeviceError:
    """The checksum that the device told of a copy."""
    if answer.code:
        return DeviceError(
            f"The device cannot check the copy of {copy.source.name}: {answer.last_error_line}."
        )
    return answer.text.split(" ")[0].lstrip("\\")


def _faults(
    copies: Sequence[FileCopy],
    sums: Sequence[str | DeviceError],
    modes: Sequence[CommandResult],
    algorithm: str,
) -> dict[FileCopy, DeviceError]:
    found: dict[FileCopy, DeviceError] = {}
    for copy, told, mode in zip(copies, sums, modes, strict=True):
        if isinstance(told, DeviceError):
            found[copy] = told
        elif told != _original(copy, algorithm):
            found[copy] = DeviceError(
                f"The copy of {copy.source.name} on the device differs from the original.",
                "Try another cable or port; see also whether the device is full.",
            )
        elif mode.code:
            found[copy] = DeviceError(
                f"The device cannot set the mode of {copy.path}: {mode.last_error_line}."
            )
    return found


def _original(copy: FileCopy, algorithm: str) -> str:
    return copy.sha256 if algorithm == "sha256" else _digest(copy.source.read_bytes(), algorithm)


def _digest(content: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
