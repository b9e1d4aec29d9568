"""Good networks, and random ones of a band of costs, where choices interact."""

import numpy as np

from search.costs.base import Array, Costs, IntArray
from search.costs.descent import descend, neighbours
from search.errors import UsageError

# Powers of the weights that are tried in turn, and networks drawn by each.
_POWERS, _DRAWS = (1.0, 0.5, 0.25, 0.0), 20_000


def local_search(scores: Array, costs: Costs, target: float) -> tuple[int, ...]:
    """A network of a high score within a target; not proven to be the highest.

    The exact selection needs independent layers; this takes any costs. From
    the best network of all, single changes that lose least score for the cost
    they save lead under the target; then single changes that gain score
    within it.

    Args:
        scores: (variables, widest), higher is better, -inf where not legal.
        costs: Of the same space.
        target: The highest cost, in the unit of `costs`.

    Raises:
        UsageError: No network is found within the target.
    """
    own = np.array(scores.argmax(axis=1))
    while (cost := float(costs.cost_of([own])[0])) > target:
        networks = neighbours(costs, own)
        saved = cost - costs.cost_of(networks)
        if not (saved > 0).any():
            break
        lost = _total(scores, own[None])[0] - _total(scores, networks)
        # Free savings first; then the least loss for each unit of cost.
        rate = np.where(saved > 0, lost / np.where(saved > 0, saved, 1.0), np.inf)
        own = networks[int(rate.argmin())]
    if float(costs.cost_of([own])[0]) > target:
        own = np.array(descend(costs, own.tolist()))
    if float(costs.cost_of([own])[0]) > target:
        raise UsageError(
            f"No network within {target:.1f} {costs.unit} was found.", "Raise the target."
        )
    return _climb(scores, costs, target, own)


def sample_by_rejection(
    weights: Array,
    costs: Costs,
    band: tuple[float, float],
    number: int,
    generator: np.random.Generator,
) -> IntArray:
    """Networks of a band of costs, drawn as independent variables: (networks, variables).

    Such networks cannot be counted, so they are drawn and most are rejected. Where the
    distribution itself rarely lies in the band, flatter ones help: powers of its weights
    down to 0, where all options are equally likely. At most `number`, perhaps none.

    Args:
        weights: (variables, widest), above 0 where an option is legal.
        costs: Of the same space.
        band: Lowest and highest cost.
        number: How many to find.
        generator: The source of randomness.
    """
    legal = costs.legal
    networks = np.empty((0, len(legal)), dtype=np.int64)
    for power in _POWERS:
        shares = np.where(legal, weights**power, 0.0)
        drawn = _draw(shares / shares.sum(axis=1, keepdims=True), generator)
        totals = costs.cost_of(drawn)
        inside = drawn[(band[0] <= totals) & (totals <= band[1])]
        networks = np.concatenate([networks, inside[: number - len(networks)]])
        if len(networks) == number:
            break
    return networks


def _draw(shares: Array, generator: np.random.Generator) -> IntArray:
    """(_DRAWS, variables) options by the shares of each variable."""
    columns = [generator.choice(len(row), _DRAWS, p=row) for row in shares]
    return np.column_stack(columns)


def _climb(scores: Array, costs: Costs, target: float, own: IntArray) -> tuple[int, ...]:
    while True:
        networks = neighbours(costs, own)
        gains = _total(scores, networks) - _total(scores, own[None])[0]
        gains[costs.cost_of(networks) > target] = -np.inf
        if not gains.max() > 1e-12:
            return tuple(int(choice) for choice in own)
        own = networks[int(gains.argmax())]


def _total(scores: Array, choices: IntArray) -> Array:
    total: Array = scores[np.arange(scores.shape[0]), choices].sum(axis=1)
    return total
