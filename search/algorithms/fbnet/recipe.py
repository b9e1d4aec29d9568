"""Hyperparameters of FBNet's search."""

import math
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from search.algorithms.recipe import PathRecipe
from search.recipes.keys import BelowOne, Count, NonNegative, Positive, an_epoch, key, whole_epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class FBNetRecipe(PathRecipe):
    """Hyperparameters of FBNet (arXiv 1812.03443); the defaults are section 4.1's.

    The images that the share of the weights leaves train theta.

    Attributes:
        theta_rate, theta_decay, theta_beta1, theta_beta2: Adam of theta; its decay is
            coupled (L2).
        temperature, annealing: tau = temperature * exp(-annealing * epoch).
        alpha, beta: Of the product loss.
        literal: Train the weights with the whole loss, as equation 1 reads,
            instead of the cross entropy alone.
        multiplier, multiplier_rate: Of the loss with a target: weight of the
            excess at first, and how fast a step raises it while the expected
            cost is above the target.
        negligible: Candidates whose Gumbel softmax weight is below this sit
            a batch out and the others share their weight. 0 runs all, as the
            paper does; above 0 epochs become cheaper as tau falls.

    Raises:
        UsageError: A value is out of range.
    """

    epochs: Count = 90
    batch: Count = 192
    weight_rate: Positive = field(default=0.1, metadata=key("weights.rate"))
    theta_rate: Positive = field(default=1e-2, metadata=key("theta.rate"))
    theta_decay: NonNegative = field(default=5e-4, metadata=key("theta.decay"))
    theta_beta1: BelowOne = field(default=0.9, metadata=key("theta.beta1"))
    theta_beta2: BelowOne = field(default=0.999, metadata=key("theta.beta2"))
    freeze_epochs: int = field(default=10, metadata=key("freeze", whole_epochs))
    temperature: Positive = field(default=5.0, metadata=key("temperature.start"))
    annealing: NonNegative = field(default=0.045, metadata=key("temperature.annealing", an_epoch))
    alpha: NonNegative = field(default=0.2, metadata=key("cost.alpha"))
    beta: NonNegative = field(default=0.6, metadata=key("cost.beta"))
    literal: bool = field(default=False, metadata=key("cost.literal"))
    multiplier: NonNegative = field(default=0.0, metadata=key("cost.lambda"))
    multiplier_rate: NonNegative = field(default=0.002, metadata=key("cost.lambda_rate"))
    negligible: Annotated[float, Field(ge=0, le=0.05)] = 0.0

    def __post_init__(self) -> None:
        PathRecipe.__post_init__(self)
        self.require(("weights.share", self.weight_share < 1))

    def temperature_at(self, epoch: int) -> float:
        """tau in an epoch counted from 0."""
        return self.temperature * math.exp(-self.annealing * epoch)
