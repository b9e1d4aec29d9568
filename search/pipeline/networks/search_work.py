"""The work of a search in networks run forward, so that judging can be kept to a share of it.

The unit is one image through a network of mean size: multiply-adds tell how much larger a
mixture of all candidates is, or a candidate near the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.recipe import FAIR, MIXTURE, PathRecipe, SearchRecipe
from search.costs.matrix import CostMatrix
from search.latency.space_costs import counted_costs
from search.pipeline.supernet_scores import draw_balanced
from search.spaces.base import LayeredSpace

# Forward; then backward to the inputs, and to the weights.
_WEIGHTS, _ARCHITECTURE, _FORWARD = 3.0, 2.0, 1.0
_DRAWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceWork:
    """Multiply-adds of a space's networks: the mean, and all candidates at once, in such means."""

    mean: float
    mixture: float
    widest: int

    @classmethod
    def of(cls, space: LayeredSpace) -> "SpaceWork":
        """Of any space; without independent layers a mixture counts as one network."""
        widths = [len(layer.choices) for layer in space.layers]
        costs = counted_costs(space, "flops")
        mean = float(costs.cost_of(draw_balanced(widths, _DRAWN, 0)).mean())
        whole = mean
        if isinstance(costs, CostMatrix):
            whole = costs.fixed + float(np.where(costs.legal, costs.costs, 0.0).sum())
        return cls(mean=mean, mixture=whole / mean, widest=max(widths))

    def networks(self, flops: Sequence[int]) -> float:
        """As many networks of mean size as these are."""
        return sum(flops) / self.mean


def search_passes(algorithm: str, recipe: SearchRecipe, work: SpaceWork, images: int) -> float:
    """Images times networks of mean size that a search runs forward, backward passes included.

    Args:
        algorithm: Its name.
        recipe: Its hyperparameters.
        work: Of the space.
        images: Training images.
    """
    own = _own_networks(algorithm, recipe, work.mixture)
    weights = own * recipe.epochs
    if isinstance(recipe, PathRecipe):
        sampled = {MIXTURE: work.mixture, FAIR: float(work.widest)}.get(recipe.sampling, 1.0)
        weights += (sampled - own) * sum(map(recipe.samples_paths, range(recipe.epochs)))
    # Networks that are drawn teach their distribution by their losses alone.
    price = _FORWARD if isinstance(recipe, CategoricalRecipe) else _ARCHITECTURE
    share, thawed = recipe.weight_share, recipe.epochs - recipe.freeze_epochs
    return images * (_WEIGHTS * share * weights + price * (1 - share) * own * thawed)


def _own_networks(algorithm: str, recipe: SearchRecipe, mixture: float) -> float:
    """Networks that one image passes in a step of the method itself."""
    if algorithm == "fbnet":
        return mixture
    if isinstance(recipe, CategoricalRecipe):
        return recipe.draws or recipe.least_draws
    return 1.0
