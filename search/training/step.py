"""One step: gradients of all processes averaged, checked, clipped, applied."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from search.errors import GateFailed
from search.training.compute.distributed import ProcessGroup
from search.training.compute.loss_scale import LossScale
from search.training.protocol import Batch, StepReport, TrainingMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlags:
    """What is to follow a step; the flag of one process counts for all."""

    checkpoint: bool = False
    stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSums:
    """Sums over images, and their times: of a step or of a phase so far."""

    loss: float = 0.0
    cross_entropy: float = 0.0
    latency_us: float = 0.0
    latency_images: float = 0.0
    correct: float = 0.0
    images: float = 0.0
    seconds: float = 0.0

    def plus(self, more: "RunningSums", seconds: float) -> "RunningSums":
        """With a step added that took so many seconds."""
        return RunningSums(
            loss=self.loss + more.loss,
            cross_entropy=self.cross_entropy + more.cross_entropy,
            latency_us=self.latency_us + more.latency_us,
            latency_images=self.latency_images + more.latency_images,
            correct=self.correct + more.correct,
            images=self.images + more.images,
            seconds=self.seconds + seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of a step: this process's report, and the sums and flags of all processes."""

    report: StepReport
    sums: RunningSums
    flags: StepFlags


def take_step(
    method: TrainingMethod,
    phase: str,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    *,
    processes: ProcessGroup,
    flags: StepFlags,
    clip_norm: float | None = None,
    scale: LossScale | None = None,
) -> StepResult:
    """Run a batch forward and backward and step the optimiser.

    In float16 a step whose gradient overflows is left out, and the scale lowered.

    Raises:
        GateFailed: Loss or gradient is not finite; nothing was stepped.
        Transient: Another process went away.
    """
    scale = scale or LossScale()
    batch = replace(batch, loss_scale=scale.value)
    method.module.zero_grad(set_to_none=True)
    report = method.backward(phase, batch)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [*_sums(report), float(flags.checkpoint), float(flags.stop)]
    *sums, checkpoint, stop = processes.exchange(parameters, numbers, report.images)
    scale.take_out(parameters)
    norm = _clip(parameters, clip_norm)
    if not math.isfinite(sums[0]):
        raise GateFailed(f"The loss is {report.loss}")
    finite = math.isfinite(norm)
    if not scale.survives(finite) and not finite:
        raise GateFailed(f"The norm of the gradient is {norm}")
    if finite:
        optimizer.step()
    loss, cross_entropy, latency_us, latency_images, correct, images = sums
    return StepResult(
        report=report,
        sums=RunningSums(
            loss=loss,
            cross_entropy=cross_entropy,
            latency_us=latency_us,
            latency_images=latency_images,
            correct=correct,
            images=images,
        ),
        flags=StepFlags(checkpoint=checkpoint > 0, stop=stop > 0),
    )


def _sums(report: StepReport) -> list[float]:
    """A step's means as sums over its images, in the order of `RunningSums`."""
    latency, images = report.latency_us, float(report.images)
    return [
        report.loss * images,
        report.cross_entropy * images,
        0.0 if latency is None else latency * images,
        0.0 if latency is None else images,
        float(report.correct),
        images,
    ]


def _clip(parameters: Sequence[nn.Parameter], most: float | None) -> float:
    """Norm of the gradient before it is clipped, if at all."""
    if most is not None:
        return float(nn.utils.clip_grad_norm_(parameters, most))
    return float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
