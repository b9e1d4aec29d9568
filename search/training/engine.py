"""The training loop of every method.

For each epoch: prepare it; for each of its phases: walk over the shuffled
images of the phase's split, let the method leave gradients, average them over
the processes, step the phase's optimiser. All randomness is derived from
(seed, epoch, phase, step, process), so a checkpoint between any two steps is
enough to go on bit by bit as if nothing had happened.
"""

import time
from contextlib import closing
from pathlib import Path

import torch
from torch import nn

from search.data.base import ImageSet
from search.errors import GateFailed
from search.training.batches import identify_images
from search.training.checkpoint import Checkpoint, Origin, Position
from search.training.distributed import ProcessGroup
from search.training.loader import BatchLoader
from search.training.precision import configured, peak_memory_mb
from search.training.progress import RunLength, TrainingProgress
from search.training.protocol import Batch, Phase, TrainingMethod
from search.training.run_control import GracefulInterrupt, Stopwatch
from search.training.run_files import RunFiles
from search.training.settings import Subject, TrainingSettings
from search.training.step import RunningSums, StepFlags, StepResult, take_step
from search.training.sync_batch_norm import convert_sync_batchnorm
from search.training.trace import TraceLine

_ALONE = ProcessGroup()


def train(
    algorithm: TrainingMethod,
    images: ImageSet,
    settings: TrainingSettings,
    *,
    subject: Subject,
    folder: Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    progress: TrainingProgress | None = None,
    processes: ProcessGroup = _ALONE,
    stopwatch: Stopwatch | None = None,
) -> tuple[TraceLine, ...]:
    """Train a method to its end; its module then holds the result, on the device.

    Args:
        algorithm: Fresh from its constructor, resumed or not.
        images: Training images; the method says into which shares they are split.
        settings: Batch size, seed, device and so on.
        subject: What the run is about, so that nothing else resumes it.
        folder: Keeps `last.pt`, `good.pt` and `trace.jsonl`; None keeps nothing.
        resume: Go on from `last.pt` where there is one.
        accept_changes: Resume although recipe, settings or kit version differ.
        progress: Reports in the first process alone; None reports nothing.
        processes: From `parallel.join`.
        stopwatch: Of the whole run, kept in its checkpoints; None starts one here.

    Returns:
        The trace, of earlier parts of a resumed run too; empty in all but the
        first process.

    Raises:
        UsageError: Too few images, a folder that holds another run, a
            checkpoint that does not fit.
        GateFailed: Loss or gradient is not a number; checkpoints stay.
        Transient: Another process went away.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    device = settings.compute.torch_device(processes.local_rank)
    progress = progress if progress and processes.leads else TrainingProgress()
    origin = _origin(algorithm, images, settings, subject)
    records = RunFiles(folder, origin, processes, progress, stopwatch or Stopwatch())
    with configured(settings.compute, device), GracefulInterrupt() as interruption:
        _place(algorithm.module, settings, device)
        feed = BatchLoader(images, algorithm.splits, settings, device, processes)
        run = _Run(algorithm, feed, settings, device, processes, records, interruption, progress)
        try:
            run.begin(records.open(resume, accept_changes))
            run.go()
        finally:
            progress.finished()
    return tuple(records.lines)


def _origin(
    algorithm: TrainingMethod, images: ImageSet, settings: TrainingSettings, subject: Subject
) -> Origin:
    return Origin(
        algorithm=algorithm.name,
        space=subject.space,
        data=identify_images(images),
        recipe=subject.recipe,
        settings=settings.fixed,
        table_id=subject.table_id,
    )


def _place(module: nn.Module, settings: TrainingSettings, device: torch.device) -> None:
    settings.compute.place(module, device)
    if settings.synchronous:
        convert_sync_batchnorm(module)
    if settings.compute.compile:
        module.compile()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


class _Run:
    """One call of `train`: where it is, and what it has summed up in this phase."""

    def __init__(
        self,
        algorithm: TrainingMethod,
        feed: BatchLoader,
        settings: TrainingSettings,
        device: torch.device,
        processes: ProcessGroup,
        records: RunFiles,
        interruption: GracefulInterrupt,
        progress: TrainingProgress,
    ) -> None:
        self._algorithm, self._feed, self._settings = algorithm, feed, settings
        self._device, self._processes, self._records = device, processes, records
        self._interruption, self._progress = interruption, progress
        phases = (p.name for epoch in range(algorithm.epochs) for p in algorithm.phases(epoch))
        self._optimizers = {name: algorithm.optimizer(name) for name in dict.fromkeys(phases)}
        self._position, self._sums = Position(), RunningSums()
        self._saved_at, self._unsaved = time.monotonic(), 0

    def begin(self, found: Checkpoint | None) -> None:
        """Start afresh, or from a checkpoint."""
        self._processes.agree_on(self._algorithm.module)
        if found is not None:
            self._position, self._sums = found.position, found.sums
            self._records.restore(found, self._algorithm.module, self._optimizers)
        self._progress.started(
            RunLength(
                algorithm=self._algorithm.name,
                epochs=self._algorithm.epochs,
                steps=self._steps_before(Position(epoch=self._algorithm.epochs)),
                done=self._steps_before(self._position),
            )
        )

    def _steps_before(self, position: Position) -> int:
        phases = [p for epoch in range(position.epoch) for p in self._algorithm.phases(epoch)]
        if position.phase:
            phases += self._algorithm.phases(position.epoch)[: position.phase]
        return position.step + sum(self._feed.steps(phase) for phase in phases)

    def go(self) -> None:
        """All epochs that are left."""
        for epoch in range(self._position.epoch, self._algorithm.epochs):
            self._algorithm.start_epoch(epoch)
            phases = self._algorithm.phases(epoch)
            for number in range(self._position.phase, len(phases)):
                self._walk(epoch, number, phases[number])
                self._measure(epoch, phases[number])
                self._position, self._sums = Position(epoch=epoch, phase=number + 1), RunningSums()
            self._processes.average_statistics(self._algorithm.module)
            self._position = Position(epoch=epoch + 1)
            self._save(epoch_ended=True)
        if self._interruption.asked:  # in the last step, or while its state was written
            raise KeyboardInterrupt

    def _walk(self, epoch: int, number: int, phase: Phase) -> None:
        """The steps of a phase that are left."""
        first = self._position.step
        with closing(self._feed.walk(epoch, phase, first)) as batches:
            began = time.monotonic()
            for step, batch in enumerate(batches, first):
                done = self._step(epoch, phase, step, batch)
                now = time.monotonic()
                self._sums = self._sums.plus(done.sums, now - began)
                began = now
                self._position = Position(epoch=epoch, phase=number, step=step + 1)
                if done.wishes.checkpoint or done.wishes.stop:
                    self._save(epoch_ended=False)
                if done.wishes.stop:
                    raise KeyboardInterrupt

    def _step(self, epoch: int, phase: Phase, step: int, batch: Batch) -> StepResult:
        try:
            done = take_step(
                self._algorithm,
                phase.name,
                batch,
                self._optimizers[phase.name],
                processes=self._processes,
                wishes=self._wishes(),
                clip_norm=self._settings.clip_norm,
            )
        except GateFailed as error:
            raise GateFailed(
                f"{error.message} at step {step + 1} of {phase.name} in epoch {epoch + 1}. "
                f"{self._records.kept()}",
                "Lower the learning rate (--learning-rate) or clip the gradient; then start "
                "afresh, or go on from the checkpoint with --resume --accept-changes.",
            ) from error
        self._progress.stepped(done.report)
        return done

    def _wishes(self) -> StepFlags:
        self._unsaved += 1
        late = time.monotonic() - self._saved_at >= 60 * self._settings.checkpoint_minutes
        many = self._settings.checkpoint_steps
        return StepFlags(
            checkpoint=late or (many is not None and self._unsaved >= many),
            stop=self._interruption.asked,
        )

    def _save(self, *, epoch_ended: bool) -> None:
        self._saved_at, self._unsaved = time.monotonic(), 0
        module = self._algorithm.module
        self._records.save(
            self._position, self._sums, module, self._optimizers, epoch_ended=epoch_ended
        )

    def _measure(self, epoch: int, phase: Phase) -> None:
        """One line of the trace."""
        if not self._processes.leads:
            return
        sums = self._sums
        line = TraceLine(
            epoch=epoch,
            phase=phase.name,
            loss=sums.loss / sums.images,
            cross_entropy=sums.cross_entropy / sums.images,
            accuracy=sums.correct / sums.images,
            images=round(sums.images),
            images_per_s=sums.images / sums.seconds if sums.seconds else 0.0,
            seconds=sums.seconds,
            memory_mb=peak_memory_mb(self._device),
            latency_us=sums.latency_us / sums.latency_images if sums.latency_images else None,
            progress=dict(self._algorithm.progress()),
        )
        self._records.append(line)
        self._progress.measured(line)
