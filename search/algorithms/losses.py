"""Losses that weigh the cost of networks, and checks of costs and targets.

FBNet (arXiv 1812.03443): equations 2 and 3.
"""

import torch
from torch import Tensor

from search.costs.base import Costs, CostTarget, legal_options
from search.errors import UsageError
from search.operators.words import space_label
from search.spaces.base import SearchSpace

# A network below 1 ms is possible, but a table in milliseconds far more likely.
LEAST_PRODUCT_US = 1000.0


def product_loss(cross_entropy: Tensor, cost: Tensor, *, alpha: float, beta: float) -> Tensor:
    """CE * alpha * (ln cost)^beta (equation 2).

    The logarithm is raised to beta, not the cost. alpha scales the loss
    and nothing else; beta alone trades cost against cross entropy, and
    there is no target.
    """
    factor = torch.log(cost) ** beta
    return cross_entropy * alpha * factor.to(cross_entropy.dtype)


def target_loss(
    cross_entropy: Tensor, cost: Tensor, *, target: float, multiplier: Tensor
) -> Tensor:
    """CE + multiplier * max(0, cost / target - 1); both in one unit."""
    excess = torch.relu(cost / target - 1)
    return cross_entropy + multiplier * excess.to(cross_entropy.dtype)


def require_costs(costs: Costs, space: SearchSpace) -> None:
    """Make sure that the costs are those of this space.

    Raises:
        UsageError: Another shape, a legal candidate without a cost, or a cost
            where the space has no candidate.
    """
    legal = legal_options(tuple(len(layer.choices) for layer in space.layers))
    if costs.legal.shape != legal.shape or (costs.legal != legal).any():
        raise UsageError(
            f"These costs are not those of {space_label(space.spec)}.",
            "Use the cost matrix of a table of the same space.",
        )


def require_microseconds(costs: Costs) -> None:
    """Make sure that the product loss means what the paper means by it.

    In milliseconds (ln LAT)^beta falls to zero for the fastest networks, and
    the best network is the one that skips everything.

    Raises:
        UsageError: The fastest network takes 1,000 or less.
    """
    if not costs.unit.is_time:
        return
    fastest = costs.cheapest()
    if not fastest > LEAST_PRODUCT_US:
        raise UsageError(
            f"The fastest network of this table takes {fastest:.4g}; the product loss needs more "
            f"than {LEAST_PRODUCT_US:,.0f} microseconds, so milliseconds were probably given.",
            "Give microseconds. If the networks are really that fast, set a target latency.",
        )


def require_reachable(costs: Costs, target: CostTarget) -> None:
    """Make sure that some network meets the target.

    Raises:
        UsageError: The target is below the cheapest network, not a number, or
            in another unit.
    """
    unit = costs.unit
    if target.unit is not unit:
        raise UsageError(f"A target of {target.unit.noun} does not fit costs of {unit.noun}.")
    cheapest = costs.cheapest()
    if not cheapest <= target.value < float("inf"):
        word = "fastest" if unit.is_time else "smallest"
        raise UsageError(
            f"No network reaches {target.value:.1f} {unit}; "
            f"the {word} takes {cheapest:.1f} {unit}.",
            "Give a target of at least that.",
        )
