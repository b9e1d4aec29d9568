"""FLOPs, parameters and memory of a whole space as costs."""

from collections.abc import Callable
from dataclasses import replace

from search.costs.base import COSTS, Costs, Unit
from search.costs.joint import Limit
from search.errors import UsageError
from search.operators.counts import count, memory_bytes
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace


def counted_costs(space: LayeredSpace, cost: str) -> Costs:
    """FLOPs (multiply-adds of one call), parameters or bytes of memory of a space's networks.

    Memory is that of the weights and of all activations of one call, none of
    them overwritten: the peak of a runtime that re-uses buffers is lower, and
    is no sum over operators.

    Raises:
        UsageError: Another word.
    """
    counts: dict[str, Callable[[OperatorSpec], float]] = {
        "flops": lambda operator: count(operator).flops,
        "params": lambda operator: count(operator).params,
        "memory": memory_bytes,
    }
    if cost not in counts:
        raise UsageError(f"Unknown cost {cost!r}.", f"Known: {', '.join(COSTS)}.")
    return space.costs(counts[cost], unit=Unit(cost))


def recounted(limit: Limit, space: LayeredSpace) -> Limit:
    """A limit on what is counted, for another space's classifier; what was measured stays."""
    unit = limit.costs.unit
    if limit.recount is not None:
        return replace(limit, costs=limit.recount(space))
    return limit if unit.is_time else replace(limit, costs=counted_costs(space, unit.cost))
