"""Progress on standard error: a bar on a terminal, plain lines otherwise."""

import sys
import time
from typing import TYPE_CHECKING, Protocol, Self

from search.console.output import progress_bar

if TYPE_CHECKING:
    from rich.progress import TaskID

_QUIET_S = 10.0


class Progress(Protocol):
    """What long work reports to."""

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, ending the one before."""
        ...

    def advance(self, steps: int = 1) -> None:
        """Some steps of the present stage are done."""
        ...

    def say(self, text: str) -> None:
        """One line for the user."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Silent:
    """Reports nothing (`--quiet`, tests)."""

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Ignored."""

    def advance(self, steps: int = 1) -> None:
        """Ignored."""

    def say(self, text: str) -> None:
        """Ignored."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Lines(Silent):
    """One line now and then, with the time left: for logs and pipes."""

    def __init__(self) -> None:
        self._title, self._total, self._done, self._first = "", 0, 0, 0
        self._started = self._spoke = time.monotonic()

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """Announce the stage."""
        self._title, self._total, self._done, self._first = title, total, done, done
        self._started = self._spoke = time.monotonic()
        self.say(f"{title}: {done} of {total}")

    def advance(self, steps: int = 1) -> None:
        """Speak at most every ten seconds, and at the end."""
        self._done += steps
        now = time.monotonic()
        finished = self._done == self._total
        if finished or now - self._spoke >= _QUIET_S:
            self._spoke = now
            self.say(f"{self._title}: {self._done} of {self._total}{self._left(now)}")

    def _left(self, now: float) -> str:
        fresh = self._done - self._first
        if self._done >= self._total or fresh <= 0:
            return f" in {now - self._started:.0f} s"
        left = (now - self._started) / fresh * (self._total - self._done)
        return f", {left:.0f} s left"

    def say(self, text: str) -> None:
        """Print to standard error."""
        print(text, file=sys.stderr, flush=True)


class Bars(Silent):
    """A rich progress bar with the time left."""

    def __init__(self) -> None:
        self._bar = progress_bar("{task.description:<18}")
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, title: str, total: int, done: int = 0) -> None:
        """A bar of its own for each stage."""
        self._task = self._bar.add_task(title, total=total, completed=done)

    def advance(self, steps: int = 1) -> None:
        """Move the present bar."""
        if self._task is not None:
            self._bar.advance(self._task, steps)

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._bar.console.print(text, highlight=False, markup=False)


def make_progress(quiet: bool = False) -> Progress:
    """Bars on a terminal, lines otherwise, nothing when quiet."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()
