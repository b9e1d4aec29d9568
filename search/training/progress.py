"""Events of a training run, reported as the progress of a command line."""

from dataclasses import dataclass

from search.console.progress import Progress, Silent
from search.training.protocol import StepReport
from search.training.run.trace import TraceLine


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLength:
    """Length of a run: epochs, steps in all, and steps already done."""

    algorithm: str
    epochs: int
    steps: int
    done: int


class TrainingProgress:
    """Reports a run as one stage: a step of it each batch, a milestone each phase.

    Only the first of several processes reports.

    Args:
        progress: Of the command; None reports nothing.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress: Progress = progress or Silent()
        self._epochs = 0

    def started(self, length: RunLength) -> None:
        """Training begins or resumes."""
        self._epochs = length.epochs
        self._progress.stage(
            length.algorithm,
            length.steps,
            length.done,
            opening=f"{length.algorithm}: step {length.done} of {length.steps}, "
            f"{length.epochs} epochs",
        )

    def stepped(self, report: StepReport) -> None:
        """One more step is done; the report is of this process's share."""
        self._progress.advance(note=f"loss {report.loss:.3f}")

    def measured(self, line: TraceLine) -> None:
        """A phase of an epoch is finished."""
        self._progress.milestone(describe(line, self._epochs))

    def notice(self, text: str) -> None:
        """Something that the user should know."""
        self._progress.say(text)

    def finished(self) -> None:
        """Training has ended, well or not."""
        self._progress.end_stage()


def describe(line: TraceLine, epochs: int) -> str:
    """The numbers of a phase as one line of text."""
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
