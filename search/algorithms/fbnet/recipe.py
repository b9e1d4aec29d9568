"""Hyperparameters of FBNet's search, as presets."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FBNetRecipe(SearchRecipe):
    """Hyperparameters of FBNet (arXiv 1812.03443); the defaults are section 4.1's.

    The images that the share of the weights leaves train theta.

    Attributes:
        theta_rate, theta_decay: Adam of theta; its decay is coupled (L2).
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

    epochs: int = 90
    batch: int = 192
    classes: int | None = 100
    weight_rate: float = 0.1
    theta_rate: float = 1e-2
    theta_decay: float = 5e-4
    freeze_epochs: int = 10
    temperature: float = 5.0
    annealing: float = 0.045
    alpha: float = 0.2
    beta: float = 0.6
    literal: bool = False
    multiplier: float = 0.0
    multiplier_rate: float = 0.002
    negligible: float = 0.0

    def __post_init__(self) -> None:
        SearchRecipe.__post_init__(self)
        numbers = (
            self.theta_decay,
            self.annealing,
            self.alpha,
            self.beta,
            self.multiplier,
            self.multiplier_rate,
        )
        self.require(
            ("The share of the weights", self.weight_share < 1),
            ("The temperature", 0 < self.temperature < math.inf),
            ("The rate of theta", 0 < self.theta_rate < math.inf),
            ("The negligible weight", 0 <= self.negligible <= 0.05),
            ("Other numbers", all(0 <= number < math.inf for number in numbers)),
        )

    def temperature_at(self, epoch: int) -> float:
        """tau in an epoch counted from 0."""
        return self.temperature * math.exp(-self.annealing * epoch)


def _cpu() -> FBNetRecipe:
    """For 32x32 images, the fbnet-mini space and two cores, in minutes.

    Some three hundred steps (about 10,000 images) must decide theta where the
    paper takes ten thousand: its rate is ten times the paper's, tau starts
    lower, so that candidates are told apart early, and ends as low.
    """
    return FBNetRecipe(
        epochs=14,
        batch=64,
        classes=None,
        theta_rate=0.1,
        freeze_epochs=2,
        temperature=2.0,
        annealing=0.2,
        multiplier_rate=0.02,
        negligible=0.01,
    )


RECIPES: dict[str, Callable[[], FBNetRecipe]] = {"paper": FBNetRecipe, "cpu": _cpu}


def make_fbnet_recipe(name: str) -> FBNetRecipe:
    """A preset by name.

    Raises:
        UsageError: Unknown name.
    """
    if name not in RECIPES:
        raise UsageError(f"Unknown recipe {name!r}.", f"Known: {', '.join(RECIPES)}.")
    return RECIPES[name]()
