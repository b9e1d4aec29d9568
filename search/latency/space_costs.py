"""Costs of a space by any price of operators: a table's latencies, FLOPs, parameters."""

from collections.abc import Callable

import numpy as np

from search.costs.matrix import COSTS, CostMatrix
from search.errors import UsageError
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.spaces.registry import DEPENDENT

Price = Callable[[OperatorSpec], float]


def space_costs(
    space: LayeredSpace, price: Price, fixed: float = 0.0, unit: str = "us"
) -> CostMatrix:
    """What networks of a space cost: sums of their operators' prices, and what is fixed.

    A matrix layers x candidates; where layers depend on each other, terms over variables
    (`search.costs.terms`).
    """
    if isinstance(space, DEPENDENT):
        return space.costs(price, fixed, unit)
    widest = max((len(layer.choices) for layer in space.layers), default=0)
    costs = np.full((len(space.layers), widest), np.inf)
    for row, layer in enumerate(space.layers):
        for column, choice in enumerate(layer.choices):
            costs[row, column] = price(choice.operator)
    fixed += sum(price(operator) for operator in (*space.before, *space.after))
    return CostMatrix(costs=costs, fixed_us=fixed, unit=unit)


def counted_costs(space: LayeredSpace, cost: str) -> CostMatrix:
    """FLOPs (multiply-adds of one call) or parameters of a space's networks.

    Raises:
        UsageError: Another word.
    """
    prices: dict[str, Price] = {
        "flops": lambda operator: count(operator).flops,
        "params": lambda operator: count(operator).params,
    }
    if cost not in prices:
        raise UsageError(f"Unknown cost {cost!r}.", f"Known: {', '.join(COSTS)}.")
    return space_costs(space, prices[cost], unit=cost)
