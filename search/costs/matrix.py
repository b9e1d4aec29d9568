"""Costs of the candidates of a space, to be added up."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.errors import UsageError

Array = npt.NDArray[np.float64]

# What a search can weigh; latency is by a table, in microseconds.
LATENCY = "latency"
COSTS = (LATENCY, "flops", "params")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostMatrix:
    """Costs in microseconds, layers x candidates; infinite where not legal.

    `fixed_us` is what every network pays: fixed operators and intercept.
    `unit` is us; or flops or params, where multiply-adds or parameters take
    the microseconds' place throughout.
    """

    costs: Array
    fixed_us: float
    unit: str = "us"

    def price(self, choices: npt.ArrayLike) -> Array:
        """Latencies of many networks at once.

        Args:
            choices: Integer indices, networks x layers.

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
        prices: Array = np.take(self.costs.ravel(), picked + offsets).sum(axis=1) + self.fixed_us
        return prices

    def fastest_us(self) -> float:
        """The lowest latency that any network of the space can have."""
        return float(self.costs.min(axis=1).sum() + self.fixed_us)
