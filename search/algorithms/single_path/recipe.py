"""Hyperparameters of Single-Path NAS."""

from dataclasses import dataclass, field

from search.algorithms.recipe import SearchRecipe
from search.recipes.keys import BelowOne, NonNegative, Positive, ShareOfAll, key

NORMS = ("l2", "squared", "rms")
FORMULAS = ("paper", "exact")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePathRecipe(SearchRecipe):
    """Hyperparameters of Single-Path NAS (arXiv 1904.02877), after its released code.

    There is one phase: weights and thresholds learn together on the share of
    the weights. The other images train nothing and judge the result. The
    frozen epochs are a warm-up: all candidates by chance, no latency.

    Attributes:
        threshold_rate: The thresholds' learning rate, relative to the weights'.
        keep: Chance that an indicator is left on in the warm-up; those left
            on count 1 / keep.
        latency_weight: lambda of CE + lambda ln R (equation 3), without a target.
        multiplier, multiplier_rate: With one: weight of the excess at first,
            and how fast a step raises it while the runtime is above it.
        norm: What thresholds are compared with (`search.supernets.superkernel`).
        formula: Runtime of indicators (`search.algorithms.single_path.indicators`).
    """

    optimiser: str = field(default="rmsprop", metadata=key("weights.optimizer"))
    schedule: str = field(default="exponential", metadata=key("schedule.name"))
    threshold_rate: Positive = field(default=1.0, metadata=key("thresholds.rate"))
    keep: ShareOfAll = field(default=0.6, metadata=key("thresholds.keep"))
    norm: str = field(default="l2", metadata=key("thresholds.norm"))
    label_smoothing: BelowOne = 0.1
    latency_weight: NonNegative = field(default=20.0, metadata=key("cost.lambda"))
    multiplier: NonNegative = field(default=0.0, metadata=key("cost.multiplier"))
    multiplier_rate: NonNegative = field(default=0.002, metadata=key("cost.multiplier_rate"))
    formula: str = field(default="paper", metadata=key("cost.formula"))

    def __post_init__(self) -> None:
        SearchRecipe.__post_init__(self)
        self.require(
            ("weights.share", self.weight_share < 1),
            ("thresholds.norm", self.norm in NORMS),
            ("cost.formula", self.formula in FORMULAS),
        )
