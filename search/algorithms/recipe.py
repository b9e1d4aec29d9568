"""Hyperparameters that all search methods share."""

import math
from dataclasses import dataclass

from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecipe:
    """The part that the command line can set, of any method.

    Attributes:
        epochs: Walks over the training images.
        batch: Images a step.
        classes: Random classes of the proxy data; None means all.
        weight_share: Share of the images that train the weights.
        weight_rate, weight_momentum, weight_decay: Of the weights' optimiser.
        freeze_epochs: Epochs in which the architecture rests.
        samples: Networks drawn at the end.

    Raises:
        UsageError: A value is out of range.
    """

    epochs: int
    batch: int
    weight_rate: float
    classes: int | None = None
    weight_share: float = 0.8
    weight_momentum: float = 0.9
    weight_decay: float = 1e-4
    freeze_epochs: int = 0
    samples: int = 6

    def __post_init__(self) -> None:
        self.require(
            ("Epochs, batch and samples", min(self.epochs, self.batch, self.samples) >= 1),
            ("The share of the weights", 0 < self.weight_share <= 1),
            ("Frozen epochs", 0 <= self.freeze_epochs <= self.epochs),
            ("Classes", self.classes is None or self.classes >= 2),
            ("The learning rate", 0 < self.weight_rate < math.inf),
            ("The momentum", 0 <= self.weight_momentum < 1),
            ("The decay", 0 <= self.weight_decay < math.inf),
        )

    def require(self, *right: tuple[str, bool]) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: Names the first of `right` that is False.
        """
        for problem, holds in right:
            if not holds:
                raise UsageError(f"{problem} of this recipe are out of range: {self}.")

    def weight_rate_at(self, epoch: float) -> float:
        """Learning rate of the weights after so many epochs: a cosine that ends at 0."""
        return self.weight_rate * 0.5 * (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0)))
