"""The services `shell:` (v1 and v2) and `exec:`.

Version 1 merges both outputs and has no exit code; version 2 wraps stdin,
stdout, stderr and the exit code in packets (AOSP, packages/modules/adb,
shell_protocol.h). There is no terminal: `pty` is answered without one.
"""

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO

from .faults import Cut, Faults, OutputGate, Pace
from .ground import Ground
from .messages import Disconnected
from .streams import Stream, StreamClosed

PACKET = struct.Struct("<BI")
PIECE_BYTES = 1 << 16
BLOCK_BYTES = 512
HANG_UP_S = (0.5, 1, 2, 4, 8, 16, 32)


class PacketKind(IntEnum):
    """First byte of a packet of shell version 2."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4
    WINDOW_SIZE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSettings:
    """What all shells of a device share.

    Args:
        ground: Where commands run.
        root: Working folder of a command.
        environment: Its variables.
        faults: What goes wrong with its output.
        room_bytes: What may still be written; None is no limit.
    """

    ground: Ground
    root: Path
    environment: dict[str, str]
    faults: Faults
    room_bytes: Callable[[], int | None]
    old_terminal: bool = False


class Shell:
    """Runs one command on one stream.

    Args:
        settings: What all shells share.
        command: Text for /bin/sh; empty reads commands from standard input.
        packets: Version 2.
    """

    def __init__(self, settings: ShellSettings, command: str, packets: bool) -> None:
        self._settings = settings
        self._command = command
        self._packets = packets
        self._gate = OutputGate(settings.faults)

    def __call__(self, stream: Stream) -> None:
        """Serve the stream until the command ends or the host closes it."""
        process = self._start()
        stream.when_closed(lambda: _hang_up(process))
        feeder = threading.Thread(target=self._feed, args=(stream, process), daemon=True)
        feeder.start()
        try:
            code = self._answer(stream, process)
        finally:
            if process.poll() is None:
                _hang_up(process)
            process.wait()
            stream.when_closed(lambda: None)  # what it left in the background may stay
        if self._packets and not self._gate.ended:
            stream.write(PACKET.pack(PacketKind.EXIT, 1) + bytes([code & 0xFF]))

    def _start(self) -> subprocess.Popen[bytes]:
        command = self._command or "exec /bin/sh"
        room = self._settings.room_bytes()
        argv = self._settings.ground.argv(command)
        if room is not None:
            # The shell's limit is on each file, so it is what a full disk feels like, not one.
            limit = f"trap '' XFSZ; ulimit -f {max(0, room) // BLOCK_BYTES}; exec \"$@\""
            argv = ["/bin/sh", "-c", limit, "sh", *argv]
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self._packets else subprocess.STDOUT,
            cwd=self._settings.root,
            env=self._settings.environment,
            start_new_session=True,
        )

    def _answer(self, stream: Stream, process: subprocess.Popen[bytes]) -> int:
        """Pass the output on as it comes; return the exit code."""
        assert process.stdout is not None
        noise = self._settings.faults.noise
        self._show(stream, noise, PacketKind.STDOUT)
        errors: threading.Thread | None = None
        if process.stderr is not None:
            errors = threading.Thread(
                target=self._pump,
                args=(stream, process.stderr, PacketKind.STDERR),
                daemon=True,
            )
            errors.start()
        self._pump(stream, process.stdout, PacketKind.STDOUT)
        if errors is not None:
            errors.join()
        self._show(stream, noise, PacketKind.STDOUT)
        code = process.wait()
        return code if code >= 0 else 128 - code

    def _pump(self, stream: Stream, source: IO[bytes], kind: PacketKind) -> None:
        """Pass on until the end; once nobody reads any more, the command cannot write either."""
        seen = self._settings.ground.output_filter()
        try:
            pace = Pace(self._settings.faults)
            while data := os.read(source.fileno(), PIECE_BYTES):
                for part in pace.parts(seen(data)):
                    self._show(stream, part, kind)
            self._show(stream, seen(b"", last=True), kind)
        except (StreamClosed, Disconnected):
            with contextlib.suppress(Disconnected):
                stream.finish()
        finally:
            source.close()

    def _show(self, stream: Stream, data: bytes, kind: PacketKind) -> None:
        if not data:
            return
        cut = False
        if kind is PacketKind.STDOUT:
            data, cut = self._gate.passed(data)
        if self._settings.old_terminal and not self._packets:
            data = data.replace(b"\n", b"\r\n")
        if data:
            stream.write(PACKET.pack(kind, len(data)) + data if self._packets else data)
        if cut:
            raise Cut
        if self._gate.ended:
            raise StreamClosed

    def _feed(self, stream: Stream, process: subprocess.Popen[bytes]) -> None:
        """Pass the host's input to the command."""
        assert process.stdin is not None
        # A command that reads nothing, or is gone, is no fault.
        with contextlib.suppress(StreamClosed, Disconnected, OSError, ValueError):
            while True:
                data, more = self._input(stream)
                if data:
                    process.stdin.write(data)
                    process.stdin.flush()
                if not more:
                    break
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()
        self._drain(stream)

    def _drain(self, stream: Stream) -> None:
        """Take what still comes, so that the host is not kept waiting for an OKAY."""
        with contextlib.suppress(StreamClosed, Disconnected):
            while True:
                stream.read()

    def _input(self, stream: Stream) -> tuple[bytes, bool]:
        if not self._packets:
            return stream.read(), True
        kind, size = PACKET.unpack(stream.read_exactly(PACKET.size))
        data = stream.read_exactly(size)
        return (data if kind == PacketKind.STDIN else b""), kind != PacketKind.CLOSE_STDIN


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """What the end of a session does to its processes: SIGHUP to the group.

    A program that ignores it, or left the group by `setsid`, stays, as on a phone. Sent
    again, as a shell in the middle of vfork takes it after the child that misses it is there,
    and how long that lasts is up to the machine.
    """
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGHUP)
        threading.Thread(target=_hang_up_again, args=(process,), daemon=True).start()


def _hang_up_again(process: subprocess.Popen[bytes]) -> None:
    for seconds in HANG_UP_S:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        try:
            os.killpg(process.pid, signal.SIGHUP)
        except OSError:
            return
