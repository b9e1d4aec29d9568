"""Shell commands on a device: scripts sent, answers parsed.

Shell protocol 1 has neither exit codes nor a separate standard error, and in
any protocol a broken connection looks like a short answer. So each command
runs in a small shell function that ends its output with a line of a random
word (the nonce), the exit code, and the text of standard error: an answer
without that line is a lost connection, whatever else it holds. Output before
the script begins or after it ends is dropped.
"""

import secrets
import shlex
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device_agents.adb.transport import AdbTransport, Stream
from search.errors import ConnectionLost, UsageError

# What one packet of the oldest daemons holds, less a margin.
SCRIPT_BYTES = 3500
OUTPUT_BYTES = 32 * 2**20
_STDOUT, _EXIT = 1, 3
_HEADER = struct.Struct("<BI")
_MOST_PACKET = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """Exit code and output of one command."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without white space at its ends."""
        return self.stdout.decode(errors="replace").replace("\r\n", "\n").strip()

    @property
    def last_error_line(self) -> str:
        """The last line of standard error, safe to print."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return printable(lines[-1] if lines else "")


def printable(text: str, length: int = 200) -> str:
    """Text of a device without control characters, at most `length` characters long."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= length else f"{clean[:length]}…"


def quote(argv: Sequence[str]) -> str:
    """One command quoted for a shell.

    Raises:
        UsageError: An argument holds a NUL, which no command can be given.
    """
    if any("\0" in word for word in argv):
        raise UsageError("A name with a NUL character cannot be given to a device.")
    return shlex.join(argv)


def script_of(commands: Sequence[Sequence[str]], nonce: str) -> str:
    """The script that runs commands one after another.

    The command's standard output goes straight out by descriptor 3, while its
    standard error is held in a variable until it has ended.
    """
    frame = (
        # The shell's own messages ("Killed") belong to no command's output.
        f"exec 2>/dev/null;echo {nonce};"
        'k(){ { e=$("$@" </dev/null 2>&1 1>&3 3>&-);r=$?; } 3>&1;'
        f"printf '\\n%s %d\\n%s\\n%s.\\n' {nonce} $r \"$e\" {nonce}; }}"
    )
    return "\n".join([frame, *(f"k {quote(command)}" for command in commands)])


def script_batches(commands: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Commands in groups whose script fits into one packet of every daemon."""
    group: list[Sequence[str]] = []
    size = 0
    for command in commands:
        length = len(quote(command).encode()) + 3
        if group and size + length > SCRIPT_BYTES - 200:
            yield group
            group, size = [], 0
        group.append(command)
        size += length
    if group:
        yield group


def execute(
    transport: AdbTransport, commands: Sequence[Sequence[str]], timeout_s: float
) -> list[CommandResult]:
    """Run commands in one script; each runs even if the one before it failed.

    Raises:
        ConnectionLost: The answer is incomplete.
        DeviceTimeout: No data for `timeout_s`.
    """
    nonce = secrets.token_hex(12)
    received = bytearray()
    for part in _output(transport, script_of(commands, nonce), timeout_s):
        received += part
        if len(received) > OUTPUT_BYTES:
            raise ConnectionLost("The device answered with more than anyone asked for.")
    return parse(bytes(received), nonce, len(commands))


def parse(received: bytes, nonce: str, count: int) -> list[CommandResult]:
    """Split the output of a script into the results of its `count` commands.

    Raises:
        ConnectionLost: A result is missing or cut off.
    """
    head, tail = b"\n" + nonce.encode() + b" ", b"\n" + nonce.encode() + b"."
    received = received.replace(b"\r\n" + nonce.encode(), b"\n" + nonce.encode())
    results, rest = [], _after_start(received, nonce)
    for _ in range(count):
        stdout, begun, rest = rest.partition(head)
        stderr, ended, rest = rest.partition(tail)
        code, line, stderr = stderr.partition(b"\n")
        if not (begun and ended and line and code.strip().isdigit()):
            raise ConnectionLost("The device's answer was cut off.")
        rest = rest.removeprefix(b"\r").removeprefix(b"\n")
        results.append(CommandResult(code=int(code), stdout=stdout, stderr=stderr))
    return results


def _after_start(received: bytes, nonce: str) -> bytes:
    """Drop output from before the script began."""
    _, mark, rest = received.partition(nonce.encode())
    if not mark:
        raise ConnectionLost("The device's answer was cut off.")
    return rest.removeprefix(b"\r").removeprefix(b"\n")


class Running:
    """A running command whose output lines are read as they arrive.

    `result` is None until the command has ended.
    """

    def __init__(self, transport: AdbTransport, argv: Sequence[str], timeout_s: float) -> None:
        self.result: CommandResult | None = None
        self._nonce = secrets.token_hex(12)
        self._timeout_s = timeout_s
        self._parts = _output(transport, script_of([argv], self._nonce), timeout_s)
        self._rest = b""
        self._begun = False

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output, then set `result`.

        Raises:
            ConnectionLost: The output ended before the command did; a line
                that was cut is not yielded.
            DeviceTimeout: No data for the time limit.
        """
        nonce = self._nonce.encode()
        for part in self._parts:
            self._rest += part
            *lines, self._rest = self._rest.split(b"\n")
            for number, line in enumerate(lines):
                if not self._begun:
                    self._begun = line.rstrip().endswith(nonce)
                elif line.startswith(nonce + b" "):
                    self._end(b"\n".join([nonce, b"", *lines[number:], self._rest]))
                    return
                elif line.strip():
                    yield line.decode(errors="replace").rstrip("\r")
            if len(self._rest) > OUTPUT_BYTES:
                raise ConnectionLost("The device sent a line without an end.")
        raise ConnectionLost("The connection ended in the middle of the command's output.")

    def _end(self, tail: bytes) -> None:
        """Read the rest after the last line: exit code and standard error."""
        for part in self._parts:
            tail += part
        self.result = parse(tail, self._nonce, 1)[0]

    def close(self) -> None:
        """Stop reading; the command is ended by its next write."""
        self._parts.close()


def _output(transport: AdbTransport, script: str, timeout_s: float) -> "_OutputStream":
    framed = transport.shell_v2
    service = "shell,v2,raw:" if framed else "shell:"
    return _OutputStream(transport.open(service + script, timeout_s), framed, timeout_s)


class _OutputStream:
    """Standard output of a shell stream, in either protocol."""

    def __init__(self, stream: Stream, framed: bool, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._parts = self._unframed() if framed else self._plain()

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._stream.close()

    def _plain(self) -> Iterator[bytes]:
        try:
            while part := self._stream.recv(self._timeout_s):
                yield part
        finally:
            self._stream.close()

    def _unframed(self) -> Iterator[bytes]:
        """Protocol 2: packets of a kind, a length and data; the last holds the exit code."""
        buffer = b""
        for part in self._plain():
            buffer += part
            while len(buffer) >= _HEADER.size:
                kind, length = _HEADER.unpack_from(buffer)
                if length > _MOST_PACKET:
                    raise ConnectionLost(
                        "The device sent a packet that claims to be larger than any.",
                        "Run again with --resume; what was measured is kept.",
                    )
                end = _HEADER.size + length
                if len(buffer) < end:
                    break
                data, buffer = buffer[_HEADER.size : end], buffer[end:]
                if kind == _STDOUT and data:
                    yield data
                elif kind == _EXIT:
                    return
