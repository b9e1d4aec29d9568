"""What can be made to go wrong, at the start or while the device runs."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

NOISE = (
    b"'\"`$(touch /data/local/tmp/owned)`; rm -rf ~; \\ %s {0}\r\n"
    b"\x1b[2J\x1b]0;title\x07\x00\xff\xfe\xe2\x80\xae rc=0 [x]: [y]\n"
)
LONG_LINE = b"x" * 1_000_000 + b"\n"
HOSTILE = NOISE + LONG_LINE


class Cut(Exception):
    """A fault ends the connection here."""


@dataclass(kw_only=True)
class Faults:
    """Switches; None, 0 and False mean that nothing goes wrong.

    Those that begin with `drop` or `truncate` happen once and then switch
    themselves off, so that a reconnection succeeds; `fired` counts them.

    Args:
        drop_after_sent_bytes: Cut the connection after so many bytes sent by the device
            since the switch was set.
        drop_after_received_bytes: The same for bytes received.
        drop_after_lines: Cut the connection after so many lines of one command's output.
        drop_mid_line: Cut it in the middle of the line after so many lines.
        truncate_output_bytes: End one command's output there as if nothing were wrong.
        delay_s: Wait before each message to the host.
        bytes_per_second: Speed limit of what is sent, per connection.
        record_s: Time that a record of a runner takes at least: a phone that is so slow.
        refuse_authentication: Never let anybody in.
        quota_bytes: Writes beyond so many bytes on the device fail.
        noise: Put this before and behind each command's output; see `HOSTILE`.
    """

    drop_after_sent_bytes: int | None = None
    drop_after_received_bytes: int | None = None
    drop_after_lines: int | None = None
    drop_mid_line: int | None = None
    truncate_output_bytes: int | None = None
    delay_s: float = 0.0
    bytes_per_second: float | None = None
    record_s: float = 0.0
    refuse_authentication: bool = False
    quota_bytes: int | None = None
    noise: bytes = b""
    fired: int = 0
    _moving: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._moving.set()

    @classmethod
    def switches(cls) -> dict[str, type]:
        """Names of the switches and what each takes, for a command line."""
        kinds = {"delay_s": float, "bytes_per_second": float, "record_s": float, "noise": str}
        kinds["refuse_authentication"] = bool
        hidden = {"fired", "_moving", "_lock"}
        return {f.name: kinds.get(f.name, int) for f in fields(cls) if f.name not in hidden}

    def freeze(self) -> None:
        """Answer nothing, and read nothing, from now on."""
        self._moving.clear()

    def thaw(self) -> None:
        """Go on after `freeze`; nothing was lost."""
        self._moving.set()

    @property
    def frozen(self) -> bool:
        """Whether `freeze` is in force."""
        return not self._moving.is_set()

    def wait_while_frozen(self, over: Callable[[], bool]) -> None:
        """Return once the device moves, or `over` says that nobody waits any more."""
        while not self._moving.wait(0.05) and not over():
            pass

    def clear(self) -> None:
        """Switch everything off."""
        blank = Faults()
        for name in self.switches():
            setattr(self, name, getattr(blank, name))
        self.thaw()

    def allowance(self, switch: str, size: int) -> tuple[int, bool]:
        """How many of `size` bytes pass the switch of that name, and whether it cuts after them."""
        with self._lock:
            left = getattr(self, switch)
            if left is None:
                return size, False
            if size < left:
                setattr(self, switch, left - size)
                return size, False
            setattr(self, switch, None)
            self.fired += 1
            return left, True


class Pace:
    """Keeps the records of one command apart by `Faults.record_s`, however late one of them was."""

    _BEGIN = b'{"type":'

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._next_s = time.monotonic()
        self._is_record = False
        self._at_start = True

    def parts(self, data: bytes) -> Iterator[bytes]:
        """The same bytes, line by line, each record's end in its time."""
        if not self._faults.record_s:
            yield data
            return
        for line in data.splitlines(keepends=True):
            if self._at_start:
                self._is_record = line.startswith(self._BEGIN)
            self._at_start = line.endswith(b"\n")
            if self._is_record and self._at_start:
                self._wait()
            yield line

    def _wait(self) -> None:
        self._next_s += self._faults.record_s
        time.sleep(max(0.0, self._next_s - time.monotonic()))


class OutputGate:
    """Faults in the output of one command; holds the count of its lines and bytes.

    Only the command that meets a switch first is hit.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lines = 0
        self._bytes = 0
        self.ended = False

    def passed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what the host sees of `data`, and whether the connection ends after it."""
        if self.ended:
            return b"", False
        faults = self._faults
        with faults._lock:
            data = self._truncated(data)
            after, mid = faults.drop_after_lines, faults.drop_mid_line
            if after is not None and (end := self._line_end(data, after)) is not None:
                faults.drop_after_lines = None
                faults.fired += 1
                return data[:end], True
            if mid is not None and (start := self._line_end(data, mid)) is not None:
                line = data[start:].partition(b"\n")[0]
                if line:
                    faults.drop_mid_line = None
                    faults.fired += 1
                    return data[: start + max(1, len(line) // 2)], True
            self._lines += data.count(b"\n")
            self._bytes += len(data)
            return data, False

    def _truncated(self, data: bytes) -> bytes:
        limit = self._faults.truncate_output_bytes
        if limit is None or self._bytes + len(data) <= limit:
            return data
        self._faults.truncate_output_bytes = None
        self._faults.fired += 1
        self.ended = True
        return data[: limit - self._bytes]

    def _line_end(self, data: bytes, lines: int) -> int | None:
        """Where in `data` the given number of lines of the whole output is complete."""
        position = 0
        for _ in range(lines - self._lines):
            position = data.find(b"\n", position) + 1
            if position == 0:
                return None
        return position
