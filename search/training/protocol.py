"""Contract between the training engine and the methods it trains."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One walk over one split of the training images."""

    name: str
    split: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What a teacher says of a batch's images (logits), and how much of the loss it is."""

    logits: Tensor
    share: float
    temperature: float


def _same(numbers: Tensor) -> Tensor:
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Input of a step; `generator` is the only source of randomness.

    `generator` lives on the CPU whatever the device, so that the noise is the
    same on all: draw there and move. `autocast` opens the engine's
    mixed-precision context: forward passes belong inside it, `backward`
    outside. `fraction` is the part of the phase that is done, in [0, 1), for
    rates that change within an epoch. Where several processes compute what one
    would, `mean` averages numbers over them, weighted by images, and `whole`
    is the number of images they have together; None for a process alone.
    `loss_scale` keeps small gradients from vanishing in float16; the engine
    takes it out again. `other` are labels that were mixed in, and `kept` is then the share
    of `labels`; `taught` is what a teacher says of the images: of all three
    `search.training.ingredients.lessons` makes a loss.
    """

    images: Tensor
    labels: Tensor
    generator: torch.Generator
    autocast: Callable[[], AbstractContextManager[object]]
    fraction: float = 0.0
    mean: Callable[[Tensor], Tensor] = _same
    whole: int | None = None
    loss_scale: float = 1.0
    other: Tensor | None = None
    kept: float = 1.0
    taught: Taught | None = None

    def scaled(self, loss: Tensor) -> Tensor:
        """A loss as its gradients are to be computed."""
        return loss if self.loss_scale == 1.0 else loss * self.loss_scale

    def backward(self, loss: Tensor) -> None:
        """Leave the gradients of a loss, scaled."""
        self.scaled(loss).backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Numbers of one step: mean loss, mean cross entropy, hits, images.

    `latency_us` is the latency term of this step; None where there is none.
    """

    loss: float
    cross_entropy: float
    correct: int
    images: int
    latency_us: float | None = None


class TrainingMethod(Protocol):
    """What the engine trains: a search method, or one fixed network.

    Invariants:
      * `module.state_dict()` holds everything trained, architecture parameters
        included; with the optimisers' states it is the whole state.
      * `start_epoch` sets all that depends on the epoch (temperature, rates,
        what is frozen) from the epoch's number alone, so that a resumed run
        equals an unbroken one.
      * `backward` leaves gradients in `.grad` and steps no optimiser.
    """

    @property
    def name(self) -> str:
        """Short name, as on the command line."""
        ...

    @property
    def epochs(self) -> int:
        """Length of the run."""
        ...

    @property
    def splits(self) -> tuple[float, ...]:
        """Shares of the training images, one a split."""
        ...

    @property
    def module(self) -> nn.Module:
        """Everything that is trained."""
        ...

    def phases(self, epoch: int) -> tuple[Phase, ...]:
        """The phases of this epoch, in order."""
        ...

    def optimizer(self, phase: str) -> torch.optim.Optimizer:
        """The optimiser that the engine steps after each batch of this phase."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Prepare an epoch, counted from 0."""
        ...

    def backward(self, phase: str, batch: Batch) -> StepReport:
        """Forward and backward for one batch; gradients are left in `.grad`."""
        ...

    def progress(self) -> Mapping[str, float]:
        """Numbers for the trace, such as entropy, temperature, expected latency."""
        ...
