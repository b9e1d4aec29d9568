"""Contract of costs: what networks of a space cost, in one unit."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from search.errors import UsageError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# The cost that a table gives; the others are counted.
LATENCY = "latency"


class Unit(StrEnum):
    """The unit of a cost: microseconds, multiply-adds of one call, parameters, or bytes."""

    US = "us"
    FLOPS = "flops"
    PARAMS = "params"
    MEMORY = "memory"

    @property
    def is_time(self) -> bool:
        """True for a latency."""
        return self is Unit.US

    @property
    def cost(self) -> str:
        """The word of `--cost` and of result files."""
        return LATENCY if self.is_time else self.value

    @property
    def column(self) -> str:
        """The name of a value in this unit in a trace."""
        return "latency_us" if self.is_time else self.value

    @property
    def noun(self) -> str:
        """The unit in a sentence."""
        return _NOUNS[self.value]


_NOUNS = {
    "us": "microseconds",
    "flops": "multiply-adds",
    "params": "parameters",
    "memory": "bytes",
}
COSTS = tuple(unit.cost for unit in Unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTarget:
    """The most that a network may cost."""

    value: float
    unit: Unit

    def met_by(self, cost: float) -> bool:
        """True when a network of this cost, in the same unit, keeps to the target."""
        return cost <= self.value


class Costs(Protocol):
    """Costs of the networks of a space, in one unit.

    How to select and to sample networks depends on the kind of costs:
    `search.selection.by_costs` does both, for every kind.
    """

    @property
    def unit(self) -> Unit:
        """The same for every value here."""
        ...

    @property
    def fixed(self) -> float:
        """The cost that every network has, whatever its choices."""
        ...

    @property
    def legal(self) -> Mask:
        """(layers, widest): where a layer has a candidate."""
        ...

    def cost_of(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, layers) to (networks,).

        Raises:
            UsageError: Another number of layers, or an index out of range.
        """
        ...

    def cheapest(self) -> float:
        """The lowest cost of any network."""
        ...

    def dearest(self) -> float:
        """The highest cost of any network."""
        ...


def slack_target(costs: Costs, target: CostTarget | None) -> str:
    """A sentence where a target restricts nothing, as every network meets it; else empty."""
    if target is None or not target.met_by(costs.dearest()):
        return ""
    scale, word = (1e3, " ms") if costs.unit.is_time else (1e6, f"M {costs.unit.noun}")
    return (
        f"The target of {target.value / scale:.4g}{word} restricts nothing: every network of the "
        f"space meets it, the dearest with {costs.dearest() / scale:.4g}{word}."
    )


def legal_options(widths: tuple[int, ...]) -> Mask:
    """(variables, widest): True for the options that each variable has."""
    legal: Mask = np.arange(max(widths)) < np.array(widths)[:, None]
    return legal


def require_options(choices: npt.ArrayLike, widths: tuple[int, ...]) -> IntArray:
    """(networks, variables) choices, checked against the number of options of each variable.

    Raises:
        UsageError: Another number of variables, or an index out of range.
    """
    picked = np.asarray(choices)
    if picked.ndim != 2 or picked.shape[1] != len(widths):
        raise UsageError(f"Choices of shape {picked.shape} do not fit this space.")
    if picked.size and not ((picked >= 0) & (picked < np.array(widths))).all():
        raise UsageError("A choice lies outside the options of its variable.")
    return picked
