"""Hyperparameters of FBNet's search, as presets."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.algorithms.recipe import SearchRecipe
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FBNetRecipe(SearchRecipe):
    """How FBNet (arXiv 1812.03443) searches; the defaults are section 4.1's.

    Attributes:
        epochs: Walks over the training images.
        batch: Images a step.
        classes: Random classes of the proxy data; None means all.
        weight_share: Share of the images that train the weights; the others
            train theta.
        weight_rate, weight_momentum, weight_decay: SGD of the weights, its
            rate falling along a cosine.
        theta_rate, theta_decay: Adam of theta; its decay is coupled (L2).
        freeze_epochs: Epochs in which theta rests.
        temperature, annealing: tau = temperature * exp(-annealing * epoch).
        alpha, beta: Of the product loss.
        literal: Train the weights with the whole loss, as equation 1 reads,
            instead of the cross entropy alone.
        multiplier, multiplier_rate: Of the loss with a target: weight of the
            excess at first, and how fast a step raises it while the expected
            latency is above the target.
        negligible: Candidates whose Gumbel softmax weight is below this sit
            a batch out and the others share their weight. 0 runs all, as the
            paper does; above 0 epochs become cheaper as tau falls.
        samples: Networks drawn at the end.

    Raises:
        UsageError: A value is out of range.
    """

    epochs: int = 90
    batch: int = 192
    classes: int | None = 100
    weight_share: float = 0.8
    weight_rate: float = 0.1
    weight_momentum: float = 0.9
    weight_decay: float = 1e-4
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
    samples: int = 6

    def __post_init__(self) -> None:
        for problem, right in (
            ("Epochs, batch and samples", min(self.epochs, self.batch, self.samples) >= 1),
            ("The share of the weights", 0 < self.weight_share < 1),
            ("Frozen epochs", 0 <= self.freeze_epochs <= self.epochs),
            ("Classes", self.classes is None or self.classes >= 2),
            ("The temperature", 0 < self.temperature < math.inf),
            ("Learning rates", self.weight_rate > 0 and self.theta_rate > 0),
            ("The negligible weight", 0 <= self.negligible <= 0.05),
            ("Other numbers", all(0 <= number < math.inf for number in self._others)),
        ):
            if not right:
                raise UsageError(f"{problem} of this recipe are out of range: {self}.")

    @property
    def _others(self) -> tuple[float, ...]:
        return (
            self.weight_momentum,
            self.weight_decay,
            self.theta_decay,
            self.annealing,
            self.alpha,
            self.beta,
            self.multiplier,
            self.multiplier_rate,
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
