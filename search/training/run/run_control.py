"""Control of a run from outside: interruption at the end of a step, time over resumed parts."""

import signal
import threading
import time
from types import FrameType
from typing import Self


class GracefulInterrupt:
    """Sets `requested` at a Ctrl-C, a kill (SIGTERM) or a closed terminal (SIGHUP).

    The second Ctrl-C interrupts at once. A second kill does not: Slurm signals every
    process of a job, and torchrun then passes on to its own what it has heard itself.
    Outside the main thread, or where a signal is ignored, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._killed = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # The same kill from a second sender must not disturb a command that is leaving.
            leaving = self._killed and number != signal.SIGINT and callable(handler)
            signal.signal(number, signal.SIG_IGN if leaving else handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self._killed = True, number != signal.SIGINT


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
