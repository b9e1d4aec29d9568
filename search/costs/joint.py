"""Several limits at once: costs of a space in several units, each with the most it may be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from search.costs.base import Array, Costs, Mask, Unit

_ABOVE_ONE = float(np.nextafter(1.0, 2.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that networks of a space may cost in one unit; `label` is how it was asked for.

    What is the largest of several costs is limited by as many limits of one label.
    `recount` makes the costs of a like space, such as one with another classifier; without it
    what is counted is counted again, and what was measured stays.
    """

    label: str
    costs: Costs
    most: float
    recount: Callable[[Any], Costs] | None = None


def labels_of(limits: Iterable[Limit]) -> tuple[str, ...]:
    """How these limits were asked for, each once."""
    return tuple(dict.fromkeys(limit.label for limit in limits))


def shares_of(limits: Iterable[Limit], choices: npt.ArrayLike) -> dict[str, float]:
    """By label the share of each limit that one network, (layers,), uses."""
    shares: dict[str, float] = {}
    for limit in limits:
        share = float(limit.costs.cost_of(np.asarray(choices)[np.newaxis])[0] / limit.most)
        shares[limit.label] = max(share, shares.get(limit.label, share))
    return shares


@dataclass(frozen=True, kw_only=True)
class JointCosts:
    """Costs under several limits: that of the limit which a network uses most of.

    Costs are in the unit of the first limit. A network costs its largest
    share of any limit, times the most of the first one: it keeps to all limits
    exactly when it costs at most that. So whatever keeps to one target keeps to
    all limits, a penalty on the excess pushes on the limit that is exceeded
    most, and a network that is cheap by the first limit alone has not used up
    the others.
    """

    limits: tuple[Limit, ...]

    @property
    def first(self) -> Limit:
        """The limit whose unit the costs are in."""
        return self.limits[0]

    @property
    def unit(self) -> Unit:
        """That of the first limit."""
        return self.first.costs.unit

    @property
    def fixed(self) -> float:
        """The cost of the first limit that every network has."""
        return self.first.costs.fixed

    @cached_property
    def legal(self) -> Mask:
        """(layers, widest): where a layer has a candidate."""
        return self.first.costs.legal

    def shares(self, choices: npt.ArrayLike) -> Array:
        """(networks, limits) shares of the limits that networks use; at most 1 where kept."""
        shares = np.stack([one.costs.cost_of(choices) / one.most for one in self.limits], axis=1)
        over = np.stack([one.costs.cost_of(choices) > one.most for one in self.limits], axis=1)
        # A division rounds: what exceeds a limit by the last digit stays above it.
        return np.where(over, np.maximum(shares, _ABOVE_ONE), np.minimum(shares, 1.0))

    def cost_of(self, choices: npt.ArrayLike) -> Array:
        """Costs of many networks at once: (networks, layers) to (networks,).

        Raises:
            UsageError: Another number of layers, or an index out of range.
        """
        costs: Array = self.shares(choices).max(axis=1) * self.first.most
        return costs

    def cheapest(self) -> float:
        """What no network is below: the largest of the limits' own lowest shares.

        Whether one network keeps to all of them, `search.selection.joint` says.
        """
        return max(one.costs.cheapest() / one.most for one in self.limits) * self.first.most

    def dearest(self) -> float:
        """The highest cost of any network."""
        return max(one.costs.dearest() / one.most for one in self.limits) * self.first.most
