"""FLOPs and parameters of a whole space as costs."""

from collections.abc import Callable

from search.costs.base import COSTS, Costs, Unit
from search.errors import UsageError
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace


def counted_costs(space: LayeredSpace, cost: str) -> Costs:
    """FLOPs (multiply-adds of one call) or parameters of a space's networks.

    Raises:
        UsageError: Another word.
    """
    counts: dict[str, Callable[[OperatorSpec], float]] = {
        "flops": lambda operator: count(operator).flops,
        "params": lambda operator: count(operator).params,
    }
    if cost not in counts:
        raise UsageError(f"Unknown cost {cost!r}.", f"Known: {', '.join(COSTS)}.")
    return space.costs(counts[cost], unit=Unit(cost))
