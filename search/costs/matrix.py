"""Costs of independent layers: a matrix of candidates, to be added up."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.costs.base import Array, Costs, Mask, Unit
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class CostMatrix:
    """Costs of the candidates, layers x candidates; infinite where not legal.

    `fixed` is the cost that every network has: fixed operators and intercept.
    """

    costs: Array
    fixed: float
    unit: Unit = Unit.US

    @property
    def legal(self) -> Mask:
        """(layers, widest): where a layer has a candidate."""
        legal: Mask = np.isfinite(self.costs)
        return legal

    def cost_of(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, layers) to (networks,).

        Raises:
            UsageError: Another number of layers, or an index beyond the
                candidates (which would read the cost of another layer).
        """
        picked = np.asarray(choices)
        layers, widest = self.costs.shape
        if picked.ndim != 2 or picked.shape[1] != layers:
            raise UsageError(f"Choices of shape {picked.shape} are not networks x {layers} layers.")
        if picked.size and not 0 <= picked.min() <= picked.max() < widest:
            raise UsageError(f"A choice lies outside 0 to {widest - 1}.")
        offsets = np.arange(layers) * widest
        total: Array = np.take(self.costs.ravel(), picked + offsets).sum(axis=1) + self.fixed
        return total

    def cheapest(self) -> float:
        """The lowest cost that any network of the space can have."""
        return float(self.costs.min(axis=1).sum() + self.fixed)

    def dearest(self) -> float:
        """The highest cost that any network of the space can have."""
        return float(np.where(self.legal, self.costs, -np.inf).max(axis=1).sum() + self.fixed)


def require_matrix(costs: Costs, space: str) -> CostMatrix:
    """The costs of a space whose layers are independent, as exact selection needs them.

    Raises:
        UsageError: A candidate's cost depends on other layers.
    """
    if not isinstance(costs, CostMatrix):
        raise UsageError(
            f"The layers of {space} are not independent.", "Search it, or use another space."
        )
    return costs
