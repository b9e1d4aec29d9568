"""Descent over single choices, for costs in which choices interact."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from search.costs.base import Costs, IntArray


def neighbours(costs: Costs, choices: npt.ArrayLike) -> IntArray:
    """All networks that differ in at most one choice: (networks, variables)."""
    own = np.asarray(choices, dtype=np.int64)
    networks = []
    for variable, width in enumerate(costs.legal.sum(axis=1).tolist()):
        for option in range(width):
            other = own.copy()
            other[variable] = option
            networks.append(other)
    return np.array(networks)


def descend(costs: Costs, choices: Sequence[int]) -> tuple[int, ...]:
    """Change one choice at a time for the cheapest network until none is cheaper."""
    best = np.array(choices)
    cost = float(costs.cost_of([best])[0])
    while True:
        networks = neighbours(costs, best)
        totals = costs.cost_of(networks)
        if not totals.min() < cost:
            return tuple(int(choice) for choice in best)
        best, cost = networks[int(totals.argmin())], float(totals.min())
