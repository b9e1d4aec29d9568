"""The latency of a distribution over networks, and losses that weigh it.

FBNet (arXiv 1812.03443): equations 2, 3 and 9. Latencies are microseconds.
"""

import numpy as np
import torch
from torch import Tensor

from search.errors import UsageError
from search.latency.model import CostMatrix
from search.spaces.base import SearchSpace

# A network below 1 ms is possible, but a table in milliseconds far more likely.
LEAST_PRODUCT_US = 1000.0


def product_loss(cross_entropy: Tensor, latency_us: Tensor, *, alpha: float, beta: float) -> Tensor:
    """CE * alpha * (ln LAT)^beta (equation 2).

    The logarithm is raised to beta, not the latency. alpha scales the loss
    and nothing else; beta alone trades latency against cross entropy, and
    there is no target.
    """
    latency = torch.log(latency_us) ** beta
    return cross_entropy * alpha * latency.to(cross_entropy.dtype)


def target_loss(
    cross_entropy: Tensor, latency_us: Tensor, *, target_us: float, multiplier: Tensor
) -> Tensor:
    """CE + multiplier * max(0, LAT / target - 1)."""
    excess = torch.relu(latency_us / target_us - 1)
    return cross_entropy + multiplier * excess.to(cross_entropy.dtype)


def require_costs(matrix: CostMatrix, space: SearchSpace) -> None:
    """Make sure that the costs are those of this space.

    Raises:
        UsageError: Another shape, a legal candidate without a cost, or a cost
            where the space has no candidate.
    """
    widths = np.array([len(layer.choices) for layer in space.layers])
    legal = np.arange(widths.max()) < widths[:, None]
    if matrix.costs.shape != legal.shape or (np.isfinite(matrix.costs) != legal).any():
        raise UsageError(
            f"These costs are not those of {space.spec}.",
            "Use the cost matrix of a table of the same space.",
        )


def require_microseconds(matrix: CostMatrix) -> None:
    """Make sure that the product loss means what the paper means by it.

    In milliseconds (ln LAT)^beta falls to zero for the fastest networks, and
    the best network is the one that skips everything.

    Raises:
        UsageError: The fastest network takes 1,000 or less.
    """
    if matrix.unit != "us":
        return
    fastest = matrix.fastest_us()
    if not fastest > LEAST_PRODUCT_US:
        raise UsageError(
            f"The fastest network of this table takes {fastest:.4g}; the product loss needs more "
            f"than {LEAST_PRODUCT_US:,.0f} microseconds, so milliseconds were probably given.",
            "Give microseconds. If the networks are really that fast, set a target latency.",
        )


def require_reachable(matrix: CostMatrix, target_us: float) -> None:
    """Make sure that some network meets the target.

    Raises:
        UsageError: The target is below the fastest network, or no number.
    """
    fastest = matrix.fastest_us()
    if not fastest <= target_us < float("inf"):
        raise UsageError(
            f"No network reaches {target_us:.1f} us; the fastest takes {fastest:.1f} us.",
            "Give a target of at least that.",
        )
