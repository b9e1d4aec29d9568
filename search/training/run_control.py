"""Ctrl-C as a request that waits for the end of the step."""

import signal
import threading
import time
from types import FrameType
from typing import Self


class GracefulInterrupt:
    """Notes the first Ctrl-C; the second one interrupts at once.

    Outside the main thread, or where Ctrl-C is ignored, nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
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
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Stopwatch:
    """Counts from its making; a resumed run adds what its earlier parts had counted."""

    def __init__(self) -> None:
        self._started, self._before_s = time.monotonic(), 0.0

    def go_on_from(self, seconds: float) -> None:
        """Earlier parts took so long, up to the state that is gone on from."""
        self._before_s = max(self._before_s, seconds)

    def seconds(self) -> float:
        """Of all parts until now; what a part did after its last saved state is not counted."""
        return self._before_s + time.monotonic() - self._started
