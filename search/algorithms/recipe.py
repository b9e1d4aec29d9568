"""Hyperparameters that all search methods share."""

import math
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from search.errors import UsageError
from search.recipes.keys import (
    BelowOne,
    Count,
    NonNegative,
    Positive,
    ShareOfAll,
    UpToOne,
    check_fields,
    key,
    keys_of,
    part_epochs,
    whole_epochs,
)
from search.training.recipe import (
    OPTIMIZERS,
    POLICIES,
    SCHEDULES,
    check_teacher,
    decayed,
    stepped,
)

# How the weights are trained while the architecture rests (`search.algorithms.path_sampling`).
OWN, FAIR, MIXTURE = "own", "fair", "mixture"
SAMPLINGS = (OWN, "uniform", FAIR, MIXTURE)

# What scores come from.
DISTRIBUTION, JUDGED = "distribution", "judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecipe:
    """Hyperparameters of any method. A file gives epochs as shares of the search.

    Attributes:
        epochs: Walks over the training images.
        batch: Images a step.
        classes: Random classes of the proxy data; None means all. The options of a
            search say which, not its recipe.
        weight_share: Share of the images that train the weights.
        weight_rate, weight_momentum, weight_decay: Of the weights' optimiser.
        optimiser: Of the weights: `sgd`, `adamw`, or `rmsprop` in TensorFlow's form.
        nesterov, rho, epsilon: As in `search.training.recipe.TrainingRecipe`.
        decay_all: Also decay batch norm's scales and all biases.
        weight_ema: How slowly the average of the weights moves, which candidates then inherit;
            0 keeps none.
        schedule: Of the weights' rate: `cosine` falls to 0; `exponential` multiplies by
            `decay` every `decay_epochs`; `steps` by `step_factor` at each of `milestones`.
        warmup_epochs: The weights' rate first rises from zero in a straight line.
        clip_norm: The gradient's norm is scaled down to this; None does not.
        label_smoothing: Share of the target spread over all classes.
        policy, operations, magnitude: Random changes of training images beside crops and flips.
        erasing, mixup, dropout, drop_path: As in `TrainingRecipe`, where weights learn; the
            architecture learns from images and networks as they are.
        teacher, teacher_weights, distillation, distillation_temperature: A network that the
            weights learn from as well, likewise.
        freeze_epochs: Epochs in which the architecture rests.
        samples: Networks drawn at the end.
        scores: What the exact selection goes by: `distribution`, the probabilities that the
            search ends with, or `judged`, networks judged with its weights.
        score_networks: How many are judged for that; None takes four for each free
            parameter of their additive model.
        score_pooling: How far a judged candidate's score is moved towards what candidates of its
            name are worth in all layers (`search.pipeline.networks.pooling`).
        sync_batch_norm: Processes compute together what one would: batch norm and noise.

    Raises:
        UsageError: A value is out of range.
    """

    epochs: Count
    batch: Count
    weight_rate: Positive = field(metadata=key("weights.rate"))
    classes: int | None = field(default=None, metadata=key(None))
    weight_share: ShareOfAll = field(default=0.8, metadata=key("weights.share"))
    weight_momentum: BelowOne = field(default=0.9, metadata=key("weights.momentum"))
    weight_decay: NonNegative = field(default=1e-4, metadata=key("weights.decay"))
    optimiser: str = field(default="sgd", metadata=key("weights.optimizer"))
    nesterov: bool = field(default=False, metadata=key("weights.nesterov"))
    rho: BelowOne = field(default=0.9, metadata=key("weights.rho"))
    epsilon: Positive = field(default=1e-3, metadata=key("weights.epsilon"))
    decay_all: bool = field(default=True, metadata=key("weights.decay_all"))
    weight_ema: BelowOne = field(default=0.0, metadata=key("weights.ema"))
    schedule: str = field(default="cosine", metadata=key("schedule.name"))
    decay: ShareOfAll = field(default=0.97, metadata=key("schedule.decay"))
    decay_epochs: Positive = field(default=2.4, metadata=key("schedule.decay_every", part_epochs))
    warmup_epochs: NonNegative = field(default=0.0, metadata=key("schedule.warmup", part_epochs))
    milestones: tuple[NonNegative, ...] = field(
        default=(), metadata=key("schedule.milestones", part_epochs)
    )
    step_factor: ShareOfAll = field(default=0.1, metadata=key("schedule.factor"))
    clip_norm: Positive | None = field(default=None, metadata=key("weights.clip_norm"))
    label_smoothing: BelowOne = 0.0
    policy: str = field(default="none", metadata=key("augment.policy"))
    operations: Count = field(default=2, metadata=key("augment.operations"))
    magnitude: UpToOne = field(default=0.3, metadata=key("augment.magnitude"))
    erasing: UpToOne = field(default=0.0, metadata=key("augment.erasing"))
    mixup: NonNegative = field(default=0.0, metadata=key("augment.mixup"))
    dropout: BelowOne = 0.0
    drop_path: BelowOne = 0.0
    teacher: str = field(default="", metadata=key("distillation.teacher"))
    teacher_weights: str = field(default="", metadata=key("distillation.weights"))
    distillation: UpToOne = field(default=0.5, metadata=key("distillation.share"))
    distillation_temperature: Positive = field(
        default=1.0, metadata=key("distillation.temperature")
    )
    freeze_epochs: int = field(default=0, metadata=key("freeze", whole_epochs))
    samples: Count = 6
    scores: str = field(default=DISTRIBUTION, metadata=key("scores.by"))
    score_networks: Annotated[int, Field(ge=15, le=10**6)] | None = field(
        default=None, metadata=key("scores.networks")
    )
    score_pooling: UpToOne = field(default=0.0, metadata=key("scores.pooled"))
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name, word, known in (
            ("weights.optimizer", self.optimiser, OPTIMIZERS),
            ("schedule.name", self.schedule, SCHEDULES),
            ("scores.by", self.scores, (DISTRIBUTION, JUDGED)),
            ("augment.policy", self.policy, POLICIES),
        ):
            if word not in known:
                raise UsageError(f"Unknown {name} {word!r}.", f"Known: {', '.join(known)}.")
        self.require(
            ("freeze", 0 <= self.freeze_epochs <= self.epochs),
            ("classes", self.classes is None or self.classes >= 2),
            ("schedule.warmup", self.warmup_epochs < self.epochs),
            ("weights.nesterov", not self.nesterov or self.optimiser == "sgd"),
            ("weights.nesterov", not self.nesterov or self.weight_momentum > 0),
        )
        check_teacher(self.teacher, self.teacher_weights)

    def require(self, *right: tuple[str, bool]) -> None:
        """Refuse values that do not go together.

        Raises:
            UsageError: Names the first of `right` that is False.
        """
        for name, holds in right:
            if not holds:
                found = keys_of(type(self)).get(name)
                value = "" if found is None else f" of {getattr(self, found.name)!r}"
                raise UsageError(f"{name}{value} is out of range in this recipe.")

    @property
    def judges_networks(self) -> bool:
        """Whether judged networks give the scores."""
        return self.scores == JUDGED

    def weight_rate_at(self, epoch: float) -> float:
        """Learning rate of the weights after so many epochs."""
        if epoch < self.warmup_epochs:
            return self.weight_rate * epoch / self.warmup_epochs
        if self.schedule == "exponential":
            return decayed(self.weight_rate, self.decay, epoch / self.decay_epochs)
        if self.schedule == "steps":
            return stepped(self.weight_rate, self.step_factor, self.milestones, epoch)
        past = epoch - self.warmup_epochs
        share = min(past / (self.epochs - self.warmup_epochs), 1.0)
        return self.weight_rate * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRecipe(SearchRecipe):
    """Hyperparameters of methods whose supernet can run one network alone.

    Attributes:
        sampling: Networks that train the weights at first: `own`, those of the method
            throughout; `uniform` or `fair`, single networks; `mixture`, all at once, mixed at
            random (`search.algorithms.path_sampling`).
        sampling_epochs: For how many epochs; None means while the architecture rests.
    """

    sampling: str = field(default=OWN, metadata=key("weights.sampling"))
    sampling_epochs: int | None = field(
        default=None, metadata=key("weights.sampling_until", whole_epochs)
    )

    def __post_init__(self) -> None:
        SearchRecipe.__post_init__(self)
        if self.sampling not in SAMPLINGS:
            known = ", ".join(SAMPLINGS)
            raise UsageError(f"Unknown weights.sampling {self.sampling!r}.", f"Known: {known}.")

    def samples_paths(self, epoch: int) -> bool:
        """Whether single networks train the weights in an epoch counted from 0."""
        last = self.freeze_epochs if self.sampling_epochs is None else self.sampling_epochs
        return self.sampling != OWN and epoch < last
