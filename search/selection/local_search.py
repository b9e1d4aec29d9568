"""Good networks where costs touch several variables."""

import numpy as np
import numpy.typing as npt

from search.costs.terms import Array, FactorCosts
from search.errors import UsageError

_POWERS, _DRAWN = (1.0, 0.5, 0.25, 0.0), 20_000


def local_search(scores: Array, costs: FactorCosts, target_us: float) -> tuple[int, ...]:
    """A network of a high score within a target; not proven to be the highest.

    Variables touch each other, so the exact selection of independent layers
    does not apply. From the best network of all, single changes that lose
    least score for the time they save lead under the target; then single
    changes that win score within it.

    Args:
        scores: (variables, widest), higher is better, -inf where not legal.
        costs: Of the same space.
        target_us: The latency to meet.

    Raises:
        UsageError: No network is found within the target.
    """
    own = np.array(scores.argmax(axis=1))
    while (price := float(costs.price([own])[0])) > target_us:
        trials = costs.neighbours(own)
        saved = price - costs.price(trials)
        if not (saved > 0).any():
            break
        lost = _total(scores, own[None])[0] - _total(scores, trials)
        # Free savings first; then the least loss for each microsecond.
        rate = np.where(saved > 0, lost / np.where(saved > 0, saved, 1.0), np.inf)
        own = trials[int(rate.argmin())]
    if float(costs.price([own])[0]) > target_us:
        own = np.array(costs.descend(own.tolist()))
    if float(costs.price([own])[0]) > target_us:
        raise UsageError(
            f"No network within {target_us:.1f} {costs.unit} was found.", "Raise the target."
        )
    return _climb(scores, costs, target_us, own)


def sample_within(
    weights: Array,
    costs: FactorCosts,
    band_us: tuple[float, float],
    number: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Networks of a band of costs, as independent variables would be drawn: (found, variables).

    Nothing counts such networks, so they are drawn and most are rejected. Where the
    distribution itself rarely lies in the band, flatter ones help: powers of its weights
    down to 0, where all options are equally likely. At most `number`, perhaps none.

    Args:
        weights: (variables, widest), above 0 where an option is legal.
        costs: Of the same space.
        band_us: Lowest and highest cost.
        number: How many to find.
        generator: Where chance comes from.
    """
    legal = np.isfinite(costs.costs)
    found = np.empty((0, len(legal)), dtype=np.int64)
    for power in _POWERS:
        shares = np.where(legal, weights**power, 0.0)
        drawn = _draw(shares / shares.sum(axis=1, keepdims=True), generator)
        prices = costs.price(drawn)
        inside = drawn[(band_us[0] <= prices) & (prices <= band_us[1])]
        found = np.concatenate([found, inside[: number - len(found)]])
        if len(found) == number:
            break
    return found


def _draw(shares: Array, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """(_DRAWN, variables) options by the shares of each variable."""
    columns = [generator.choice(len(row), _DRAWN, p=row) for row in shares]
    return np.column_stack(columns)


def _climb(
    scores: Array, costs: FactorCosts, target_us: float, own: npt.NDArray[np.int64]
) -> tuple[int, ...]:
    while True:
        trials = costs.neighbours(own)
        gains = _total(scores, trials) - _total(scores, own[None])[0]
        gains[costs.price(trials) > target_us] = -np.inf
        if not gains.max() > 1e-12:
            return tuple(int(choice) for choice in own)
        own = trials[int(gains.argmax())]


def _total(scores: Array, choices: npt.NDArray[np.int64]) -> Array:
    total: Array = scores[np.arange(scores.shape[0]), choices].sum(axis=1)
    return total
