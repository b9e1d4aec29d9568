"""The latency of a distribution over networks, and losses that weigh it.

FBNet (arXiv 1812.03443): equations 2, 3 and 9. Latencies are microseconds.
"""

import numpy as np
import torch
from torch import Tensor, nn

from search.costs.chain import ChainCosts
from search.errors import UsageError
from search.latency.model import CostMatrix
from search.spaces.base import SearchSpace

# A network below 1 ms is possible, but a table in milliseconds far more likely.
LEAST_PRODUCT_US = 1000.0


class LatencyCosts(nn.Module):
    """A cost matrix as a tensor that moves with its module; not in the state dict.

    Illegal entries, infinite in the matrix, are 0 here: they only ever meet
    the weight 0, and 0 * inf is not a number.

    Attributes:
        us: (layers, widest) float64 microseconds.
        fixed_us: What every network pays.
    """

    us: Tensor

    def __init__(self, matrix: CostMatrix) -> None:
        super().__init__()
        finite = np.where(np.isfinite(matrix.costs), matrix.costs, 0.0)
        self.register_buffer("us", torch.from_numpy(finite), persistent=False)
        self.fixed_us = matrix.fixed_us

    def forward(self, weights: Tensor) -> Tensor:
        """As `expected_latency_us`."""
        return expected_latency_us(weights, self)


class ChainLatency(nn.Module):
    """Expected cost along a chain; not in the state dict.

    Multilinear in the layers' weights: exact for one-hot weights, and the mean
    over all networks for independent distributions.
    """

    last: Tensor

    def __init__(self, costs: ChainCosts) -> None:
        super().__init__()
        self.fixed_us, self.layers = costs.fixed_us, len(costs.links)
        for number, link in enumerate(costs.links):
            self.register_buffer(f"us{number}", torch.from_numpy(link.us), persistent=False)
            follow = torch.from_numpy(link.follow)
            self.register_buffer(f"follow{number}", follow, persistent=False)
        self.register_buffer("last", torch.from_numpy(costs.last_us), persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """(layers, widest) weights to a float64 scalar, by the chance of every width."""
        total = weights.new_tensor(self.fixed_us, dtype=torch.float64)
        widths = weights.new_ones(1, dtype=torch.float64)
        for number in range(self.layers):
            us: Tensor = getattr(self, f"us{number}")
            follow: Tensor = getattr(self, f"follow{number}")
            joint = widths[:, None] * weights[number, : us.shape[1]].double()
            total = total + (joint * us).sum()
            more = number + 1 < self.layers
            left = len(getattr(self, f"us{number + 1}") if more else self.last)
            widths = joint.new_zeros(left).index_add(0, follow.reshape(-1), joint.reshape(-1))
        return total + (widths * self.last).sum()


def latency_of(matrix: CostMatrix) -> nn.Module:
    """Weights of the candidates to the expected latency, whatever the kind of costs."""
    return ChainLatency(matrix) if isinstance(matrix, ChainCosts) else LatencyCosts(matrix)


def expected_latency_us(weights: Tensor, costs: LatencyCosts) -> Tensor:
    """Latency under weights of the candidates (equation 9), a float64 scalar.

    Layers are independent, so with probabilities as weights this is the exact
    mean over all networks of the space.

    Args:
        weights: (layers, widest); 0 where not legal.
        costs: Of the same space.
    """
    return (weights.double() * costs.us).sum() + costs.fixed_us


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
