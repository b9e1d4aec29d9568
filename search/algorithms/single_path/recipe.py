"""Hyperparameters of Single-Path NAS, as presets."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError

OPTIMISERS = ("rmsprop", "sgd")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePathRecipe(SearchRecipe):
    """Hyperparameters of Single-Path NAS (arXiv 1904.02877), after its released code.

    There is one phase: weights and thresholds learn together on the share of
    the weights. The other images train nothing and judge the result. The
    frozen epochs are a warm-up: all candidates by chance, no latency.

    Attributes:
        optimiser: "rmsprop" (the paper's, decaying by steps) or "sgd" (cosine).
        threshold_rate: The thresholds' learning rate, relative to the weights'.
        decay, decay_epochs: RMSProp's rate is multiplied by decay every so many epochs.
        keep: Chance that an indicator is left on in the warm-up; those left
            on count 1 / keep.
        label_smoothing: Share of the target spread over all classes.
        latency_weight: lambda of CE + lambda ln R (equation 3), without a target.
        multiplier, multiplier_rate: With one: weight of the excess at first,
            and how fast a step raises it while the runtime is above it.
        norm: What thresholds are compared with (`search.supernets.superkernel`).
        formula: Runtime of indicators (`search.algorithms.single_path.indicators`).
    """

    optimiser: str = "rmsprop"
    threshold_rate: float = 1.0
    decay: float = 0.97
    decay_epochs: float = 2.4
    keep: float = 0.6
    label_smoothing: float = 0.1
    latency_weight: float = 20.0
    multiplier: float = 0.0
    multiplier_rate: float = 0.002
    norm: str = "l2"
    formula: str = "paper"

    def __post_init__(self) -> None:
        SearchRecipe.__post_init__(self)
        self.require(
            ("The optimiser", self.optimiser in OPTIMISERS),
            ("The rate of the thresholds", 0 < self.threshold_rate < math.inf),
            ("The decay of the rate", 0 < self.decay <= 1 and self.decay_epochs > 0),
            ("The share of the weights", self.weight_share < 1),
            ("The kept share", 0 < self.keep <= 1),
            ("Label smoothing", 0 <= self.label_smoothing < 1),
            ("The weight of the latency", 0 <= self.latency_weight < math.inf),
            ("The multiplier", min(self.multiplier, self.multiplier_rate) >= 0),
        )

    def weight_rate_at(self, epoch: float) -> float:
        """Learning rate of the weights after so many epochs."""
        if self.optimiser == "sgd":
            return SearchRecipe.weight_rate_at(self, epoch)
        return float(self.weight_rate * self.decay ** math.floor(epoch / self.decay_epochs))


def _paper() -> SinglePathRecipe:
    """The released code: 8 epochs, batches of 1024, 5 of them warm-up."""
    return SinglePathRecipe(
        epochs=8,
        batch=1024,
        weight_share=0.95,
        weight_rate=0.064,
        weight_decay=1e-5,
        freeze_epochs=5,
    )


def _cpu() -> SinglePathRecipe:
    """For 32x32 images and two cores: few steps, so thresholds that move at one pace.

    Equation 5 holds to 0.1 % on the paper's phone, but to 0.4 % on a desktop CPU: here the
    table's own four blocks.
    """
    return SinglePathRecipe(
        epochs=14,
        batch=64,
        weight_share=0.9,
        optimiser="sgd",
        weight_rate=0.1,
        freeze_epochs=3,
        label_smoothing=0.0,
        latency_weight=1.0,
        multiplier_rate=0.02,
        norm="rms",
        formula="exact",
    )


RECIPES: dict[str, Callable[[], SinglePathRecipe]] = {"paper": _paper, "cpu": _cpu}


def make_single_path_recipe(name: str) -> SinglePathRecipe:
    """A preset by name.

    Raises:
        UsageError: Unknown name.
    """
    if name not in RECIPES:
        raise UsageError(f"Unknown recipe {name!r}.", f"Known: {', '.join(RECIPES)}.")
    return RECIPES[name]()
