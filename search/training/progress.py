"""What a run tells the user: a bar on a terminal, plain lines otherwise, or nothing."""

import sys
import time
from dataclasses import dataclass
from typing import Protocol

from search.console.output import progress_bar
from search.training.protocol import StepReport
from search.training.trace import TraceLine


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLength:
    """How long a run is: epochs, steps in all, and steps already done."""

    algorithm: str
    epochs: int
    steps: int
    done: int


class Observer(Protocol):
    """What a run reports to; only the first of several processes reports."""

    def started(self, plan: RunLength) -> None:
        """Training begins or goes on."""
        ...

    def stepped(self, report: StepReport) -> None:
        """One more step is done; the report is of this process's share."""
        ...

    def measured(self, line: TraceLine) -> None:
        """A phase of an epoch is finished."""
        ...

    def notice(self, text: str) -> None:
        """Something that the user should know."""
        ...

    def finished(self) -> None:
        """Training has ended, well or not."""
        ...


class Silent:
    """Reports nothing (`--quiet`, tests)."""

    def started(self, plan: RunLength) -> None:
        """Ignored."""

    def stepped(self, report: StepReport) -> None:
        """Ignored."""

    def measured(self, line: TraceLine) -> None:
        """Ignored."""

    def notice(self, text: str) -> None:
        """Ignored."""

    def finished(self) -> None:
        """Ignored."""


class Lines(Silent):
    """One line a phase, on standard error: for logs and pipes."""

    def __init__(self) -> None:
        self._plan = RunLength(algorithm="", epochs=0, steps=0, done=0)
        self._fresh = 0
        self._started = time.monotonic()

    def started(self, plan: RunLength) -> None:
        """Say what is about to be done."""
        self._plan, self._fresh, self._started = plan, 0, time.monotonic()
        self.notice(f"{plan.algorithm}: step {plan.done} of {plan.steps}, {plan.epochs} epochs")

    def stepped(self, report: StepReport) -> None:
        """Counted for the time left."""
        del report
        self._fresh += 1

    def measured(self, line: TraceLine) -> None:
        """Print the numbers of the phase and the time left."""
        self.notice(f"{describe(line, self._plan.epochs)}{self._left()}")

    def notice(self, text: str) -> None:
        """Print to standard error."""
        print(text, file=sys.stderr, flush=True)

    def _left(self) -> str:
        rest = self._plan.steps - self._plan.done - self._fresh
        if rest <= 0 or self._fresh == 0:
            return ""
        seconds = (time.monotonic() - self._started) / self._fresh * rest
        return f", {_duration(seconds)} left"


class Bars(Silent):
    """A rich progress bar over all steps, with a line a phase above it."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._task = self._bar.add_task("", total=None)
        self._plan = RunLength(algorithm="", epochs=0, steps=0, done=0)

    def started(self, plan: RunLength) -> None:
        """Show the bar."""
        self._plan = plan
        self._bar.start()
        self._bar.reset(
            self._task, total=plan.steps, completed=plan.done, description=plan.algorithm
        )

    def stepped(self, report: StepReport) -> None:
        """Move the bar."""
        self._bar.update(
            self._task,
            advance=1,
            description=f"{self._plan.algorithm}, loss {report.loss:.3f}",
        )

    def measured(self, line: TraceLine) -> None:
        """Print the numbers of the phase."""
        self.notice(describe(line, self._plan.epochs))

    def notice(self, text: str) -> None:
        """Print above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)

    def finished(self) -> None:
        """Give the terminal back."""
        self._bar.stop()


def describe(line: TraceLine, epochs: int) -> str:
    """The numbers of a phase as one line for people."""
    parts = [
        f"epoch {line.epoch + 1}/{epochs} {line.phase}: loss {line.loss:.4f}",
        f"accuracy {100 * line.accuracy:.1f} %",
    ]
    for name, value in line.progress.items():
        if value is not None:
            parts.append(_number(name, value))
    parts.append(f"{line.images_per_s:.0f} images/s")
    return ", ".join(parts)


def _number(name: str, value: float) -> str:
    if name.endswith("_us"):
        return f"{name.removesuffix('_us').replace('_', ' ')} {value / 1000:.3f} ms"
    return f"{name.replace('_', ' ')} {value:.4g}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def make_observer(quiet: bool = False) -> Observer:
    """A bar on a terminal, lines otherwise, nothing when quiet."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()
