"""The files of a run: checkpoints and trace, written by the first process alone."""

from pathlib import Path

import torch
from torch import nn

from search.errors import UsageError
from search.training.compute.distributed import ProcessGroup
from search.training.compute.loss_scale import LossScale
from search.training.progress import TrainingProgress
from search.training.run.checkpoint import Checkpoint, CheckpointFolder, Position, restore
from search.training.run.run_control import Stopwatch
from search.training.run.trace import TraceFile, TraceLine, read_trace
from search.training.settings import RunIdentity
from search.training.step import RunningSums

Optimizers = dict[str, torch.optim.Optimizer]


class RunFiles:
    """Checkpoints and trace of one run; without a folder, only the trace in memory."""

    def __init__(
        self,
        folder: Path | None,
        identity: RunIdentity,
        processes: ProcessGroup,
        progress: TrainingProgress,
        stopwatch: Stopwatch,
    ) -> None:
        self.lines: list[TraceLine] = []
        self._identity, self._processes, self._progress = identity, processes, progress
        self._checkpoints = CheckpointFolder(folder) if folder else None
        self._trace = TraceFile(folder / "trace.jsonl") if folder else None
        self._stopwatch = stopwatch
        self._saved: Position | None = None

    def open(self, resume: bool, accept_changes: bool) -> Checkpoint | None:
        """The checkpoint to resume from; None when the run starts from the beginning.

        Raises:
            UsageError: The folder holds a run that is not to be resumed, or
                its checkpoint does not fit.
        """
        if self._checkpoints is None or self._trace is None:
            return None
        if self._checkpoints.exists():
            if not resume:
                raise UsageError(
                    f"{self._checkpoints.folder} holds a run already.",
                    "Use --resume to go on with it, or choose another folder.",
                )
            checkpoint = self._checkpoints.read(self._identity, accept_changes=accept_changes)
            self._saved = checkpoint.position
            self._stopwatch.resume_from(checkpoint.seconds)
            self._resume_trace(self._trace, checkpoint)
            return checkpoint
        if self._processes.leads:
            self._trace.begin(self._identity.algorithm)
        return None

    def _resume_trace(self, trace: TraceFile, checkpoint: Checkpoint) -> None:
        """Bring the trace back to the moment of the checkpoint."""
        if not self._processes.leads:
            return
        if trace.cut(checkpoint.trace_bytes):
            self.lines = list(read_trace(trace.path))
            return
        self._progress.notice(
            f"The trace of the first epochs is gone; a new one begins in {trace.path}."
        )
        trace.begin(self._identity.algorithm)

    def restore(self, checkpoint: Checkpoint, module: nn.Module, optimizers: Optimizers) -> None:
        """Put the trained state back.

        Raises:
            UsageError: It does not fit module or optimisers.
        """
        restore(checkpoint, module, optimizers)
        if checkpoint.statistics is None:
            return
        if len(checkpoint.statistics) != self._processes.world:
            self._progress.notice(
                f"The checkpoint is of {len(checkpoint.statistics)} processes, this run of "
                f"{self._processes.world}: it goes on, but not bit by bit."
            )
        self._processes.set_statistics(module, checkpoint.statistics)

    def save(
        self,
        position: Position,
        sums: RunningSums,
        module: nn.Module,
        optimizers: Optimizers,
        *,
        epoch_ended: bool,
        scale: LossScale,
    ) -> None:
        """Write a checkpoint of this moment; every process must come here.

        Raises:
            GateFailed: A weight is not a number.
            StorageError: The disk is full.
        """
        if self._checkpoints is None or self._trace is None:
            return
        statistics = self._processes.gather_statistics(module)
        if self._processes.leads:
            unique = {id(optimizer): name for name, optimizer in reversed(optimizers.items())}
            checkpoint = Checkpoint(
                identity=self._identity,
                position=position,
                sums=sums,
                trace_bytes=self._trace.size(),
                module=module.state_dict(),
                optimizers={name: optimizers[name].state_dict() for name in unique.values()},
                statistics=statistics,
                seconds=self._stopwatch.seconds(),
                loss_scale=scale.value,
                good_steps=scale.good,
            )
            self._checkpoints.write(checkpoint, epoch_ended=epoch_ended)
        self._saved = position

    def append(self, line: TraceLine) -> None:
        """Add the line of a finished phase."""
        self.lines.append(line)
        if self._trace is not None:
            self._trace.append(line)

    def saved_state(self) -> str:
        """A sentence on the state that a failed run leaves behind."""
        if self._checkpoints is None or self._saved is None:
            return "No checkpoint had been written."
        done = f"{self._saved.epoch} finished epochs and {self._saved.step} steps"
        return f"{self._checkpoints.last} keeps the state after {done}."
