"""Progress on standard error: a bar on a terminal, plain lines otherwise."""

import sys
import time
from typing import TYPE_CHECKING, Protocol, Self

from search.console.messages import folded
from search.console.output import progress_bar
from search.console.plain import plain

if TYPE_CHECKING:
    from rich.progress import TaskID

_QUIET_S = 10.0


class Progress(Protocol):
    """Report of long work, as stages of counted steps.

    Used as a context; a stage lasts until the next one begins, `end_stage` or
    the end of the context.
    """

    def stage(self, title: str, total: int, done: int = 0, *, opening: str = "") -> None:
        """Begin a stage of `total` steps, ending the one before.

        Args:
            title: Short name of the stage.
            total: Steps in all.
            done: Steps that were finished before.
            opening: A line that opens the stage in a log; such a stage is
                reported there by its milestones, not every few seconds.
        """
        ...

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Some steps of the present stage are done; a bar shows the note beside its title."""
        ...

    def milestone(self, text: str) -> None:
        """One line about the part of the stage that is done; a log adds the time left."""
        ...

    def end_stage(self) -> None:
        """The present stage has ended, complete or not."""
        ...

    def say(self, text: str) -> None:
        """One line for the user."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Silent:
    """Reports nothing (`--quiet`, tests)."""

    def stage(self, title: str, total: int, done: int = 0, *, opening: str = "") -> None: ...

    def advance(self, steps: int = 1, note: str = "") -> None: ...

    def milestone(self, text: str) -> None: ...

    def end_stage(self) -> None: ...

    def say(self, text: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Lines(Silent):
    """One line now and then, with the time left: for logs and pipes."""

    def __init__(self) -> None:
        self._title, self._total, self._done, self._first = "", 0, 0, 0
        self._by_milestones = False
        self._started = self._spoke = time.monotonic()

    def stage(self, title: str, total: int, done: int = 0, *, opening: str = "") -> None:
        self._title, self._total, self._done, self._first = title, total, done, done
        self._by_milestones = bool(opening)
        self._started = self._spoke = time.monotonic()
        self.say(opening or f"{title}: {done} of {total}")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Speak at most every ten seconds, and at the end."""
        del note
        self._done += steps
        if self._by_milestones:
            return
        now = time.monotonic()
        finished = self._done == self._total
        if finished or now - self._spoke >= _QUIET_S:
            self._spoke = now
            left = self._left(now) or f" in {now - self._started:.0f} s"
            self.say(f"{self._title}: {self._done} of {self._total}{left}")

    def milestone(self, text: str) -> None:
        self.say(f"{text}{self._left(time.monotonic())}")

    def _left(self, now: float) -> str:
        """The time left, from the pace of this run; empty where there is none to tell."""
        done, left = self._done - self._first, self._total - self._done
        if left <= 0 or done <= 0:
            return ""
        return f", {_duration((now - self._started) / done * left)} left"

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars(Silent):
    """A rich progress bar for each stage, with the time left."""

    def __init__(self) -> None:
        self._bar = progress_bar("{task.description:<18}")
        self._task: TaskID | None = None
        self._ended: TaskID | None = None
        self._title = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, title: str, total: int, done: int = 0, *, opening: str = "") -> None:
        del opening  # a bar shows where it begins
        self.end_stage()
        if self._ended is not None and _kind(title) == _kind(self._title):
            # Of the passes of a campaign only the last: more bars than rows hide the moving one.
            self._bar.remove_task(self._ended)
        self._title, self._ended = title, None
        self._task = self._bar.add_task(title, total=total, completed=done)

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._task is not None:
            text = f"{self._title}, {note}" if note else self._title
            self._bar.update(self._task, advance=steps, description=plain(text))

    def milestone(self, text: str) -> None:
        self.say(text)

    def end_stage(self) -> None:
        """Keep the bar, its clock stopped."""
        if self._task is not None:
            self._bar.stop_task(self._task)
            self._task, self._ended = None, self._task

    def say(self, text: str) -> None:
        """Print above the bars."""
        console = self._bar.console
        lines = folded(plain(text), console.width)
        console.print(lines, highlight=False, markup=False, soft_wrap=True)


def _kind(title: str) -> str:
    """What stages of one kind begin with: `pass` of "pass 3 of 28"."""
    return title.partition(" ")[0]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def make_progress(quiet: bool = False) -> Progress:
    """Bars on a terminal, lines otherwise, nothing when quiet."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()
