"""Hyperparameters of FP-NAS and of PARSEC, as presets."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalRecipe(SearchRecipe):
    """Hyperparameters of FP-NAS (arXiv 2011.10949); PARSEC is its fixed number of draws.

    Attributes:
        draws: Networks a step, K; None adapts it to the entropy (equation 4).
        draws_per_nat: K = floor(draws_per_nat * entropy in nats).
        least_draws: Its floor. With one network its weight is 1 whatever its
            likelihood, and alpha learns nothing; the paper's floor is 1.
        joint_epoch: From this epoch on a layer's candidates have one joint
            distribution; before it, independent ones over their variables.
            0 is joint throughout, None never.
        alpha_rate: Adam of the distribution.
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

    draws: int | None = None
    draws_per_nat: float = 0.25
    least_draws: int = 2
    joint_epoch: int | None = 0
    alpha_rate: float = 0.016
    beta: float = 0.3
    beta_rate: float = 0.0
    beta_damping: float = 0.0
    aim: float = 1.0
    likelihood_images: float | None = None
    baseline: bool = False

    def __post_init__(self) -> None:
        SearchRecipe.__post_init__(self)
        self.require(
            ("The draws", (self.draws is None or self.draws >= 1) and self.least_draws >= 1),
            ("The draws a nat", 0 < self.draws_per_nat < math.inf),
            ("The joint epoch", self.joint_epoch is None or self.joint_epoch >= 0),
            ("The share of the weights", self.weight_share < 1),
            ("The rate of alpha", 0 < self.alpha_rate < math.inf),
            ("Beta and its rate", 0 <= self.beta < math.inf and 0 <= self.beta_rate < math.inf),
            ("The damping of beta", 0 <= self.beta_damping < math.inf),
            ("The aim", 0 < self.aim <= 1),
            ("Images of a likelihood", self.likelihood_images is None or self._some_images),
        )

    @property
    def _some_images(self) -> bool:
        return self.likelihood_images is not None and 0 < self.likelihood_images < math.inf

    def draws_at(self, entropy: float) -> int:
        """K for a distribution of this entropy, in nats over all layers (equation 4)."""
        if self.draws is not None:
            return self.draws
        # Three equal thirds must not lose a network to the last digit.
        return max(self.least_draws, math.floor(self.draws_per_nat * entropy + 1e-6))

    def joint_at(self, epoch: int) -> bool:
        """Whether the distribution is joint in an epoch."""
        return self.joint_epoch is not None and epoch >= self.joint_epoch


def _paper() -> CategoricalRecipe:
    """FP-NAS, section 4: 256 images on each of 8 GPUs, half the images for alpha."""
    return CategoricalRecipe(
        epochs=315,
        batch=2048,
        classes=100,
        weight_share=0.5,
        weight_rate=0.8,
        freeze_epochs=45,
        joint_epoch=80,
        least_draws=1,
    )


def _cpu() -> CategoricalRecipe:
    """For 32x32 images and two cores: few steps, so a fast alpha of little variance."""
    return CategoricalRecipe(
        epochs=14,
        batch=64,
        weight_share=0.7,
        weight_rate=0.1,
        freeze_epochs=2,
        joint_epoch=5,
        alpha_rate=0.1,
        beta_rate=0.1,
        beta_damping=10.0,
        aim=0.92,
        likelihood_images=32.0,
        baseline=True,
    )


def _parsec(recipe: CategoricalRecipe) -> CategoricalRecipe:
    """PARSEC as FP-NAS compares it: 14 networks a step, joint throughout."""
    return replace(recipe, draws=14, joint_epoch=0)


FP_NAS: dict[str, Callable[[], CategoricalRecipe]] = {"paper": _paper, "cpu": _cpu}
PARSEC: dict[str, Callable[[], CategoricalRecipe]] = {
    "paper": lambda: _parsec(_paper()),
    "cpu": lambda: _parsec(_cpu()),
}


def make_fp_nas_recipe(name: str) -> CategoricalRecipe:
    """A preset of FP-NAS by name.

    Raises:
        UsageError: Unknown name.
    """
    return _named(FP_NAS, name)


def make_parsec_recipe(name: str) -> CategoricalRecipe:
    """A preset of PARSEC by name.

    Raises:
        UsageError: Unknown name.
    """
    return _named(PARSEC, name)


def _named(recipes: dict[str, Callable[[], CategoricalRecipe]], name: str) -> CategoricalRecipe:
    if name not in recipes:
        raise UsageError(f"Unknown recipe {name!r}.", f"Known: {', '.join(recipes)}.")
    return recipes[name]()
