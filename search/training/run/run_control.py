"""Control of a run from outside: Ctrl-C at the end of a step, and time over resumed parts."""

import signal
import threading
import time
from types import FrameType
from typing import Self


class GracefulInterrupt:
    """Sets `requested` at the first Ctrl-C; the second one interrupts at once.

    Outside the main thread, or where Ctrl-C is ignored, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: object = None

    def __enter__(self) -> Self:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if threading.current_thread() is threading.main_thread() and not ignored:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _note(self, _: int, __: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Stopwatch:
    """Seconds since it was made, and those of the earlier parts of a resumed run.

    Work that a part did after its last saved state is not counted.
    """

    def __init__(self) -> None:
        self._started, self._before_s = time.monotonic(), 0.0

    def resume_from(self, seconds: float) -> None:
        """Add the seconds of earlier parts, up to the state that is resumed."""
        self._before_s = max(self._before_s, seconds)

    def seconds(self) -> float:
        """Of all parts until now."""
        return self._before_s + time.monotonic() - self._started
