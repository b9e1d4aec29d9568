"""Hyperparameters for training one fixed network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from search.errors import UsageError
from search.recipes.document import Recipe, load_recipe
from search.recipes.keys import (
    BelowOne,
    Count,
    NonNegative,
    Positive,
    ShareOfAll,
    UpToOne,
    build,
    check_fields,
    key,
    keys_of,
    part_epochs,
)

OPTIMIZERS = ("sgd", "rmsprop", "adamw")
SCHEDULES = ("steps", "cosine", "exponential")
POLICIES = ("none", "randaugment", "autoaugment", "autoaugment-cifar")
KEPT = ("last", "best")
TRAIN, TRIAL = "train", "trial"
# Whose final training `paper` means where no method is named.
PAPER = "fbnet"
# A trial of the baselines is a short training.
TRIAL_EPOCHS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How a network is trained from scratch. A file gives epochs as shares of the training.

    Attributes:
        batch: Images a step.
        epochs: Walks over the training images.
        learning_rate: The highest rate.
        schedule: `steps` multiplies by `step_factor` at each milestone; `cosine` falls to
            zero; `exponential` multiplies by `decay` every `decay_epochs`. All change
            after every step.
        milestones: Epochs, for `steps`.
        warmup_epochs: The rate first rises from zero in a straight line.
        optimizer: `sgd`, `adamw`, or `rmsprop` in TensorFlow's form.
        momentum: Of any; beta1 of `adamw`.
        nesterov: Nesterov's form of it, for `sgd`.
        rho, epsilon: Of `rmsprop`: how slowly its mean square moves, and what is added
            to it inside the root; of `adamw` (where rho is its beta2) outside.
        weight_decay: L2, coupled with the gradient; of `adamw` decoupled from it.
        decay_all: Also decay batch norm's scales and all biases.
        clip_norm: The gradient's norm is scaled down to this; None does not.
        dropout: Share of the classifier's inputs that is dropped.
        drop_path: Chance that the last block which adds its input is left out; it
            rises to that along the network (arXiv 1603.09382).
        label_smoothing: Share of the target spread over all classes.
        ema: How slowly the average of the weights moves, which is then what is judged
            and written; 0 keeps none.
        policy, operations, magnitude: Random changes of training images beside crops and
            flips (`search.data.policies`).
        erasing: Chance that a rectangle of an image is blotted out (arXiv 1708.04896).
        mixup: alpha of mixup (arXiv 1710.09412); 0 mixes nothing.
        teacher, teacher_weights: Architecture (or published name) and file of weights of
            a network to learn from as well (arXiv 1503.02531); empty for none.
        distillation, distillation_temperature: The teacher's share of the loss, and the
            temperature of both softmaxes.
        validate_every: Epochs between two looks at the test images; 0 looks at the end alone.
        validate_images: At most so many images a look; None takes all.
        keep: Which weights are written: `last`, or the `best` of all looks.
        sync_batch_norm: Batch norm spans all processes.
        held_back: Of a trial: the share of the training images that judges it.

    Raises:
        UsageError: A value is out of range.
    """

    batch: Count
    epochs: Count
    learning_rate: Positive = field(metadata=key("optimizer.rate"))
    schedule: str = field(metadata=key("schedule.name"))
    milestones: tuple[NonNegative, ...] = field(
        default=(), metadata=key("schedule.milestones", part_epochs)
    )
    step_factor: ShareOfAll = field(default=0.1, metadata=key("schedule.factor"))
    decay: ShareOfAll = field(default=0.97, metadata=key("schedule.decay"))
    decay_epochs: Positive = field(default=1.0, metadata=key("schedule.decay_every", part_epochs))
    warmup_epochs: NonNegative = field(default=0.0, metadata=key("schedule.warmup", part_epochs))
    optimizer: str = field(default="sgd", metadata=key("optimizer.name"))
    momentum: BelowOne = field(default=0.9, metadata=key("optimizer.momentum"))
    nesterov: bool = field(default=False, metadata=key("optimizer.nesterov"))
    rho: BelowOne = field(default=0.9, metadata=key("optimizer.rho"))
    epsilon: Positive = field(default=1e-3, metadata=key("optimizer.epsilon"))
    weight_decay: NonNegative = field(default=0.0, metadata=key("optimizer.weight_decay"))
    decay_all: bool = field(default=True, metadata=key("optimizer.decay_all"))
    clip_norm: Positive | None = field(default=None, metadata=key("optimizer.clip_norm"))
    dropout: BelowOne = 0.0
    drop_path: BelowOne = 0.0
    label_smoothing: BelowOne = 0.0
    ema: BelowOne = 0.0
    policy: str = field(default="none", metadata=key("augment.policy"))
    operations: Count = field(default=2, metadata=key("augment.operations"))
    magnitude: UpToOne = field(default=0.3, metadata=key("augment.magnitude"))
    erasing: UpToOne = field(default=0.0, metadata=key("augment.erasing"))
    mixup: NonNegative = field(default=0.0, metadata=key("augment.mixup"))
    teacher: str = field(default="", metadata=key("distillation.teacher"))
    teacher_weights: str = field(default="", metadata=key("distillation.weights"))
    distillation: UpToOne = field(default=0.5, metadata=key("distillation.share"))
    distillation_temperature: Positive = field(
        default=1.0, metadata=key("distillation.temperature")
    )
    validate_every: int = field(default=0, metadata=key("validation.every"))
    validate_images: Count | None = field(default=None, metadata=key("validation.images"))
    keep: str = field(default="last", metadata=key("validation.keep"))
    sync_batch_norm: bool = False
    held_back: Annotated[float, Field(gt=0, lt=1)] = 0.2

    def __post_init__(self) -> None:
        check_fields(self)
        for name, word, known in (
            ("optimizer.name", self.optimizer, OPTIMIZERS),
            ("schedule.name", self.schedule, SCHEDULES),
            ("augment.policy", self.policy, POLICIES),
            ("validation.keep", self.keep, KEPT),
        ):
            if word not in known:
                raise UsageError(f"Unknown {name} {word!r}.", f"Known: {', '.join(known)}.")
        if self.batch < 2:
            raise UsageError("batch is out of range: batch norm needs at least 2 images.")
        self._check_together()

    def _check_together(self) -> None:
        check_teacher(self.teacher, self.teacher_weights)
        for problem, remedy in (
            (
                self.warmup_epochs > self.epochs and "schedule.warmup is longer than the training",
                "Give a share of 1 at most.",
            ),
            (
                self.nesterov and not self.momentum and "optimizer.nesterov needs a momentum",
                "Set optimizer.momentum, such as 0.9.",
            ),
            (
                self.nesterov and self.optimizer != "sgd" and "optimizer.nesterov is of sgd alone",
                "Set optimizer.nesterov to false.",
            ),
            (
                self.validate_every < 0 and "validation.every is out of range",
                "Give epochs between two looks, or 0 for a look at the end alone.",
            ),
            (
                self.keep == "best"
                and not self.validate_every
                and "validation.keep of best needs a look at every epoch",
                "Set validation.every to 1.",
            ),
        ):
            if problem:
                raise UsageError(f"{problem}.", remedy)

    def rate(self, epoch: float) -> float:
        """The learning rate after so many epochs, parts of one included."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        if self.schedule == "steps":
            return stepped(self.learning_rate, self.step_factor, self.milestones, epoch)
        if self.schedule == "exponential":
            return decayed(self.learning_rate, self.decay, epoch / self.decay_epochs)
        left = (self.epochs - epoch) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.learning_rate * 0.5 * (1 - math.cos(math.pi * left))


def check_teacher(teacher: str, weights: str) -> None:
    """Refuse a recipe's teacher without weights, or weights without one.

    Raises:
        UsageError: One is given, the other not.
    """
    if bool(teacher) != bool(weights):
        raise UsageError(
            "distillation.teacher and distillation.weights go together.",
            "Give the teacher's architecture and its file of weights.",
        )


def stepped(rate: float, factor: float, milestones: Sequence[float], epoch: float) -> float:
    """A rate that was multiplied by `factor` at each milestone passed."""
    return float(rate * factor ** sum(epoch >= at for at in milestones))


def decayed(rate: float, decay: float, periods: float) -> float:
    """A rate that was multiplied by `decay` after each whole period."""
    return float(rate * decay ** math.floor(periods + 1e-9))


def training_keys() -> tuple[str, ...]:
    """Keys of a recipe's tables `train` and `trial`."""
    return tuple(keys_of(TrainingRecipe))


def training_recipe(
    recipe: Recipe,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
) -> TrainingRecipe:
    """The final training of a recipe; values that are given replace the file's.

    Raises:
        UsageError: It says nothing of training, or values are out of range.
    """
    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    return build(TrainingRecipe, recipe.table(TRAIN), TRAIN, changes)


def trial_recipe(
    recipe: Recipe,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
) -> TrainingRecipe:
    """One trial of a baseline: the training with the changes of the table `trial`.

    A trial learns without a teacher and looks at no test images.

    Raises:
        UsageError: As `training_recipe`.
    """
    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    short = {"epochs": TRIAL_EPOCHS, **recipe.tables.get(TRIAL, {})}
    short |= {"distillation.teacher": "", "distillation.weights": ""}
    short |= {"validation.every": 0, "validation.keep": "last"}
    return build(TrainingRecipe, {**recipe.table(TRAIN), **short}, TRIAL, changes)


def make_training_recipe(name: str) -> TrainingRecipe:
    """The final training of a recipe by name; `paper` is FBNet's.

    Raises:
        UsageError: No such recipe.
    """
    return training_recipe(load_recipe(PAPER if name == "paper" else name))
