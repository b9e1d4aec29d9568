"""The files of a run: checkpoints and trace, written by the first process alone."""

from pathlib import Path

import torch
from torch import nn

from search.errors import UsageError
from search.training.checkpoint import Checkpoint, CheckpointFolder, Origin, Position, restore
from search.training.distributed import ProcessGroup
from search.training.progress import TrainingProgress
from search.training.run_control import Stopwatch
from search.training.step import RunningSums
from search.training.trace import TraceFile, TraceLine, read_trace

Optimizers = dict[str, torch.optim.Optimizer]


class RunFiles:
    """Checkpoints and trace of one run; without a folder, only the trace in memory."""

    def __init__(
        self,
        folder: Path | None,
        origin: Origin,
        processes: ProcessGroup,
        progress: TrainingProgress,
        stopwatch: Stopwatch,
    ) -> None:
        self.lines: list[TraceLine] = []
        self._origin, self._processes, self._progress = origin, processes, progress
        self._checkpoints = CheckpointFolder(folder) if folder else None
        self._trace = TraceFile(folder / "trace.jsonl") if folder else None
        self._stopwatch = stopwatch
        self._kept: Position | None = None

    def open(self, resume: bool, accept_changes: bool) -> Checkpoint | None:
        """The checkpoint to go on from; None when the run starts afresh.

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
            found = self._checkpoints.read(self._origin, accept_changes=accept_changes)
            self._kept = found.position
            self._stopwatch.go_on_from(found.seconds)
            self._take_up(self._trace, found)
            return found
        if self._processes.leads:
            self._trace.begin(self._origin.algorithm)
        return None

    def _take_up(self, trace: TraceFile, found: Checkpoint) -> None:
        """Bring the trace back to the moment of the checkpoint."""
        if not self._processes.leads:
            return
        if trace.cut(found.trace_bytes):
            self.lines = list(read_trace(trace.path))
            return
        self._progress.notice(
            f"The trace of the first epochs is gone; a new one begins in {trace.path}."
        )
        trace.begin(self._origin.algorithm)

    def restore(self, found: Checkpoint, module: nn.Module, optimizers: Optimizers) -> None:
        """Put the learnt state back.

        Raises:
            UsageError: It does not fit module or optimisers.
        """
        restore(found, module, optimizers)
        if found.statistics is None:
            return
        if len(found.statistics) != self._processes.world:
            self._progress.notice(
                f"The checkpoint is of {len(found.statistics)} processes, this run of "
                f"{self._processes.world}: it goes on, but not bit by bit."
            )
        self._processes.set_statistics(module, found.statistics)

    def save(
        self,
        position: Position,
        sums: RunningSums,
        module: nn.Module,
        optimizers: Optimizers,
        *,
        epoch_ended: bool,
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
            unique = {id(found): name for name, found in reversed(optimizers.items())}
            checkpoint = Checkpoint(
                origin=self._origin,
                position=position,
                sums=sums,
                trace_bytes=self._trace.size(),
                module=module.state_dict(),
                optimizers={name: optimizers[name].state_dict() for name in unique.values()},
                statistics=statistics,
                seconds=self._stopwatch.seconds(),
            )
            self._checkpoints.write(checkpoint, epoch_ended=epoch_ended)
        self._kept = position

    def append(self, line: TraceLine) -> None:
        """One more phase is finished."""
        self.lines.append(line)
        if self._trace is not None:
            self._trace.append(line)

    def kept(self) -> str:
        """A sentence on what a failed run leaves behind."""
        if self._checkpoints is None or self._kept is None:
            return "No checkpoint had been written."
        done = f"{self._kept.epoch} finished epochs and {self._kept.step} steps"
        return f"{self._checkpoints.last} keeps the state after {done}."
