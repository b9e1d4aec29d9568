"""The training loop of every method.

For each epoch: prepare it; for each of its phases: walk over the shuffled
images of the phase's split, let the method leave gradients, average them over
the processes, step the phase's optimiser. All randomness is derived from
(seed, epoch, phase, step, process), so a checkpoint between any two steps is
enough to resume bit by bit as if nothing had happened.
"""

import time
from contextlib import closing
from pathlib import Path

import torch
from torch import nn

from search.data.base import ImageSet
from search.errors import GateFailed
from search.training.batches import identify_images
from search.training.compute.distributed import ProcessGroup
from search.training.compute.loss_scale import LossScale
from search.training.compute.precision import configured, peak_memory_mb
from search.training.compute.sync_batch_norm import convert_sync_batchnorm
from search.training.loader import BatchLoader
from search.training.progress import RunLength, TrainingProgress
from search.training.protocol import Batch, Phase, TrainingMethod
from search.training.run.checkpoint import Checkpoint, Position
from search.training.run.run_control import GracefulInterrupt, Stopwatch
from search.training.run.run_files import RunFiles
from search.training.run.trace import TraceLine
from search.training.settings import RunIdentity, TrainingSettings
from search.training.step import RunningSums, StepFlags, StepResult, take_step
from search.training.validation import Validation

_ALONE = ProcessGroup()


def train(
    method: TrainingMethod,
    images: ImageSet,
    settings: TrainingSettings,
    *,
    space: str,
    recipe: str = "{}",
    table_id: str | None = None,
    folder: Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    progress: TrainingProgress | None = None,
    processes: ProcessGroup = _ALONE,
    stopwatch: Stopwatch | None = None,
    validation: Validation | None = None,
) -> tuple[TraceLine, ...]:
    """Train a method to its end; its module then holds the result, on the device.

    Args:
        method: Fresh from its constructor, resumed or not.
        images: Training images; `method.splits` are their shares.
        settings: Batch size, seed, device and so on.
        space: Spec of the search space, or the operators of a fixed network;
            this and the next two are recorded, so that no other run resumes it.
        recipe: The method's hyperparameters, as `recipe_text` writes them.
        table_id: The latency table that the method reads, if any.
        folder: Keeps `last.pt`, `good.pt` and `trace.jsonl`; None keeps nothing.
        resume: Start from `last.pt` where there is one.
        accept_changes: Resume although recipe, settings or kit version differ.
        progress: Reports in the first process alone; None reports nothing.
        processes: From `distributed.join`.
        stopwatch: Of the whole run, kept in its checkpoints; None starts one here.
        validation: Looks at other images after epochs; None looks at none.

    Returns:
        The trace, of earlier parts of a resumed run too; empty in all but the
        first process.

    Raises:
        UsageError: Too few images, a folder that holds another run, a
            checkpoint that does not fit.
        GateFailed: Loss or gradient is not a number; checkpoints stay.
        Transient: Another process went away.
        KeyboardInterrupt: Ctrl-C or a kill, after a checkpoint was written.
    """
    device = settings.compute.torch_device(processes.local_rank)
    progress = progress if progress and processes.leads else TrainingProgress()
    identity = _identity(method, images, settings, space, recipe, table_id)
    files = RunFiles(folder, identity, processes, progress, stopwatch or Stopwatch())
    with configured(settings.compute, device), GracefulInterrupt() as interrupt:
        _place(method.module, settings, device)
        loader = BatchLoader(images, method.splits, settings, device, processes)
        ways = files, interrupt, progress, validation
        run = _Run(method, loader, settings, device, processes, *ways)
        try:
            run.begin(files.open(resume, accept_changes))
            run.go()
        finally:
            progress.finished()
    return tuple(files.lines)


def _identity(
    method: TrainingMethod,
    images: ImageSet,
    settings: TrainingSettings,
    space: str,
    recipe: str,
    table_id: str | None,
) -> RunIdentity:
    return RunIdentity(
        algorithm=method.name,
        space=space,
        data=identify_images(images),
        recipe=recipe,
        settings=settings.fixed,
        table_id=table_id,
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
    """One call of `train`: its position, and the sums of the current phase."""

    def __init__(
        self,
        method: TrainingMethod,
        loader: BatchLoader,
        settings: TrainingSettings,
        device: torch.device,
        processes: ProcessGroup,
        files: RunFiles,
        interrupt: GracefulInterrupt,
        progress: TrainingProgress,
        validation: Validation | None,
    ) -> None:
        self._method, self._loader, self._settings = method, loader, settings
        self._device, self._processes, self._files = device, processes, files
        self._interrupt, self._progress, self._validation = interrupt, progress, validation
        self._scale = LossScale.of(settings.compute.dtype)
        phases = (p.name for epoch in range(method.epochs) for p in method.phases(epoch))
        self._optimizers = {name: method.optimizer(name) for name in dict.fromkeys(phases)}
        self._position, self._sums = Position(), RunningSums()
        self._saved_at, self._unsaved = time.monotonic(), 0

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Start from the beginning, or from a checkpoint."""
        self._processes.agree_on(self._method.module)
        if checkpoint is not None:
            self._position, self._sums = checkpoint.position, checkpoint.sums
            if self._scale.dynamic:
                self._scale.value, self._scale.good = checkpoint.loss_scale, checkpoint.good_steps
            self._files.restore(checkpoint, self._method.module, self._optimizers)
        self._progress.started(
            RunLength(
                algorithm=self._method.name,
                epochs=self._method.epochs,
                steps=self._steps_before(Position(epoch=self._method.epochs)),
                done=self._steps_before(self._position),
            )
        )

    def _steps_before(self, position: Position) -> int:
        phases = [p for epoch in range(position.epoch) for p in self._method.phases(epoch)]
        if position.phase:
            phases += self._method.phases(position.epoch)[: position.phase]
        return position.step + sum(self._loader.steps(phase) for phase in phases)

    def go(self) -> None:
        """Train the remaining epochs."""
        for epoch in range(self._position.epoch, self._method.epochs):
            self._method.start_epoch(epoch)
            phases = self._method.phases(epoch)
            for number in range(self._position.phase, len(phases)):
                self._walk(epoch, number, phases[number])
                self._measure(epoch, phases[number])
                self._position, self._sums = Position(epoch=epoch, phase=number + 1), RunningSums()
            self._processes.average_statistics(self._method.module)
            self._validate(epoch)
            self._position = Position(epoch=epoch + 1)
            self._save(epoch_ended=True)
        if self._interrupt.requested:  # in the last step, or while its state was written
            raise KeyboardInterrupt

    def _walk(self, epoch: int, number: int, phase: Phase) -> None:
        """Take the remaining steps of a phase."""
        first = self._position.step
        with closing(self._loader.walk(epoch, phase, first)) as batches:
            began = time.monotonic()
            for step, batch in enumerate(batches, first):
                result = self._step(epoch, phase, step, batch)
                now = time.monotonic()
                self._sums = self._sums.plus(result.sums, now - began)
                began = now
                self._position = Position(epoch=epoch, phase=number, step=step + 1)
                if result.flags.checkpoint or result.flags.stop:
                    self._save(epoch_ended=False)
                if result.flags.stop:
                    raise KeyboardInterrupt

    def _step(self, epoch: int, phase: Phase, step: int, batch: Batch) -> StepResult:
        try:
            result = take_step(
                self._method,
                phase.name,
                batch,
                self._optimizers[phase.name],
                processes=self._processes,
                flags=self._flags(),
                clip_norm=self._settings.clip_norm,
                scale=self._scale,
            )
        except GateFailed as error:
            raise GateFailed(
                f"{error.message} at step {step + 1} of {phase.name} in epoch {epoch + 1}. "
                f"{self._files.saved_state()}",
                "Lower the learning rate (--learning-rate) or clip the gradient; then start "
                "afresh, or go on from the checkpoint with --resume --accept-changes.",
            ) from error
        self._progress.stepped(result.report)
        return result

    def _flags(self) -> StepFlags:
        self._unsaved += 1
        late = time.monotonic() - self._saved_at >= 60 * self._settings.checkpoint_minutes
        many = self._settings.checkpoint_steps
        return StepFlags(
            checkpoint=late or (many is not None and self._unsaved >= many),
            stop=self._interrupt.requested,
        )

    def _save(self, *, epoch_ended: bool) -> None:
        self._saved_at, self._unsaved = time.monotonic(), 0
        module = self._method.module
        self._files.save(
            self._position,
            self._sums,
            module,
            self._optimizers,
            epoch_ended=epoch_ended,
            scale=self._scale,
        )

    def _validate(self, epoch: int) -> None:
        """Look at images that are not learnt from, where that is due."""
        if self._validation is None:
            return
        epochs, compute = self._method.epochs, self._settings.compute
        line = self._validation.look(epoch, epochs, compute, self._processes)
        if line is not None and self._processes.leads:
            self._files.append(line)
            self._progress.measured(line)

    def _measure(self, epoch: int, phase: Phase) -> None:
        """Write the phase's line of the trace, and report it."""
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
            progress=dict(self._method.progress()),
        )
        self._files.append(line)
        self._progress.measured(line)
