"""Hyperparameters for training one fixed network, and their presets."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.errors import UsageError

SCHEDULES = ("steps", "cosine")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How a network is trained from scratch.

    Attributes:
        batch: Images a step.
        epochs: Walks over the training images.
        learning_rate: The highest rate.
        schedule: `steps` divides by ten at each milestone; `cosine` falls to
            zero. Both change after every step.
        milestones: Epochs, for `steps`.
        warmup_epochs: The rate first rises from zero in a straight line.
        momentum: Of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: L2, coupled with the gradient.
        decay_all: Also decay batch norm's scales and all biases.
        dropout: Share of the classifier's inputs that is dropped.
        label_smoothing: Share of the target spread over all classes.

    Raises:
        UsageError: A value is out of range.
    """

    batch: int
    epochs: int
    learning_rate: float
    schedule: str
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_all: bool = True
    dropout: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UsageError(
                f"Unknown schedule {self.schedule!r}.", f"Known: {', '.join(SCHEDULES)}."
            )
        if self.batch < 2 or self.epochs < 1:
            raise UsageError("A recipe needs at least 1 epoch and batches of at least 2.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise UsageError(f"A learning rate of {self.learning_rate} cannot train.")
        if not (0 <= self.dropout < 1 and 0 <= self.label_smoothing < 1):
            raise UsageError("Dropout and label smoothing are shares from 0 to below 1.")
        if not (self.weight_decay >= 0 and 0 <= self.momentum < 1 and self.warmup_epochs >= 0):
            raise UsageError("Weight decay, momentum and warm-up cannot be negative.")

    def rate(self, epoch: float) -> float:
        """The learning rate after so many epochs, parts of one included."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        if self.schedule == "steps":
            return self.learning_rate * 0.1 ** sum(epoch >= at for at in self.milestones)
        left = (self.epochs - epoch) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.learning_rate * 0.5 * (1 - math.cos(math.pi * left))


def _paper() -> TrainingRecipe:
    """FBNet (arXiv 1812.03443), section 4.1.

    The batch of 256 "on 8 GPUs" is read as the total. Plain weight decay on
    everything, for the paper names no exception.
    """
    return TrainingRecipe(
        batch=256,
        epochs=360,
        learning_rate=0.1,
        schedule="steps",
        milestones=(90, 180, 270),
        weight_decay=4e-5,
        dropout=0.2,
    )


def _cpu() -> TrainingRecipe:
    """Short, for 32x32 images on a few cores: a rate that rises and falls once.

    On 5,000 to 8,000 images of CIFAR-10, 8 to 10 epochs and one seed, none of
    these did better: batches of 128 at 0.2, of 64 at 0.05 or 0.15, a decay of
    2e-3, no smoothing. The differences were 0 to 3 points.
    """
    return TrainingRecipe(
        batch=64,
        epochs=15,
        learning_rate=0.1,
        schedule="cosine",
        warmup_epochs=2,
        nesterov=True,
        weight_decay=5e-4,
        decay_all=False,
        label_smoothing=0.1,
    )


RECIPES: dict[str, Callable[[], TrainingRecipe]] = {"paper": _paper, "cpu": _cpu}


def make_training_recipe(name: str) -> TrainingRecipe:
    """A preset by name.

    Raises:
        UsageError: No such preset.
    """
    if name not in RECIPES:
        raise UsageError(f"Unknown recipe {name!r}.", f"Known: {', '.join(RECIPES)}.")
    return RECIPES[name]()
