"""Hyperparameters of FP-NAS and of PARSEC."""

import math
from dataclasses import dataclass, field

from search.algorithms.recipe import PathRecipe
from search.recipes.keys import (
    BelowOne,
    Count,
    NonNegative,
    Positive,
    ShareOfAll,
    key,
    whole_epochs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalRecipe(PathRecipe):
    """Hyperparameters of FP-NAS (arXiv 2011.10949); PARSEC is its fixed number of draws.

    Attributes:
        draws: Networks a step, K; None adapts it to the entropy (equation 4).
        draws_per_nat: K = floor(draws_per_nat * entropy in nats).
        least_draws: Its floor. With one network its weight is 1 whatever its
            likelihood, and alpha learns nothing; the paper's floor is 1.
        joint_epoch: From this epoch on a layer's candidates have one joint
            distribution; before it, independent ones over their variables.
            0 is joint throughout, None never.
        alpha_rate, alpha_beta1, alpha_beta2: Adam of the distribution.
        beta: Weight of the cost (equation 6) at first.
        beta_rate: How fast a step raises it while the mean cost is above the
            target (dual ascent); 0 keeps the paper's fixed weight, which may
            never reach the target: C_k / sum C does not see how large C is.
        beta_damping: Added to beta at once for each unit of that excess, as
            an augmented Lagrangian does; it keeps the mean cost from swinging.
        aim: Share of the target that the mean cost is led to, so that the
            remaining swings stay within the target.
        likelihood_images: Images in a likelihood; None takes all of the
            batch, which makes the best network's weight 1 and the others' 0.
        baseline: Subtract the mean weight from all, which leaves the expected
            gradient and takes away most of its variance.
    """

    draws: Count | None = field(default=None, metadata=key("draws.fixed"))
    draws_per_nat: Positive = field(default=0.25, metadata=key("draws.per_nat"))
    least_draws: Count = field(default=2, metadata=key("draws.least"))
    joint_epoch: int | None = field(default=0, metadata=key("joint", whole_epochs))
    alpha_rate: Positive = field(default=0.016, metadata=key("alpha.rate"))
    alpha_beta1: BelowOne = field(default=0.9, metadata=key("alpha.beta1"))
    alpha_beta2: BelowOne = field(default=0.999, metadata=key("alpha.beta2"))
    beta: NonNegative = field(default=0.3, metadata=key("cost.beta"))
    beta_rate: NonNegative = field(default=0.0, metadata=key("cost.beta_rate"))
    beta_damping: NonNegative = field(default=0.0, metadata=key("cost.beta_damping"))
    aim: ShareOfAll = field(default=1.0, metadata=key("cost.aim"))
    likelihood_images: Positive | None = field(
        default=None, metadata=key("alpha.likelihood_images")
    )
    baseline: bool = field(default=False, metadata=key("alpha.baseline"))

    def __post_init__(self) -> None:
        PathRecipe.__post_init__(self)
        self.require(
            ("joint", self.joint_epoch is None or self.joint_epoch >= 0),
            ("weights.share", self.weight_share < 1),
        )

    def draws_at(self, entropy: float) -> int:
        """K for a distribution of this entropy, in nats over all layers (equation 4)."""
        if self.draws is not None:
            return self.draws
        # Three equal thirds must not lose a network to the last digit.
        return max(self.least_draws, math.floor(self.draws_per_nat * entropy + 1e-6))

    def joint_at(self, epoch: int) -> bool:
        """Whether the distribution is joint in an epoch."""
        return self.joint_epoch is not None and epoch >= self.joint_epoch
