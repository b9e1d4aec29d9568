"""Differentiable expected costs of distributions over choices."""

import numpy as np
import torch
from torch import Tensor, nn

from search.costs.chain import ChainCosts
from search.costs.terms import FactorCosts
from search.latency.model import CostMatrix


class ExpectedFactorCosts(nn.Module):
    """Expected cost under weights of the options, (variables, widest) to a float64 scalar.

    Multilinear: exact for one-hot weights, and the mean for independent
    distributions. Not in the state dict.
    """

    def __init__(self, costs: FactorCosts) -> None:
        super().__init__()
        self.fixed_us = costs.fixed_us
        self.variables = [term.variables for term in costs.terms]
        self.shapes = [term.values.shape for term in costs.terms]
        for number, term in enumerate(costs.terms):
            # Flat: a module moved to channels-last refuses tensors of five dimensions.
            flat = torch.from_numpy(term.values.ravel())
            self.register_buffer(f"term{number}", flat, persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Sum over the terms of their values weighted by the product of their variables'."""
        total: Tensor = weights.new_tensor(self.fixed_us, dtype=torch.float64)
        for number, variables in enumerate(self.variables):
            value: Tensor = getattr(self, f"term{number}").reshape(self.shapes[number])
            for variable in variables:  # contracts the first axis that is left
                row = weights[variable, : value.shape[0]].double()
                value = torch.tensordot(row, value, dims=1)
            total = total + value
        return total


class ExpectedCosts(nn.Module):
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
        """As `expected_cost`."""
        return expected_cost(weights, self)


class ExpectedChainCosts(nn.Module):
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


def expected_cost_of(matrix: CostMatrix) -> nn.Module:
    """Weights of the candidates to the expected latency, whatever the kind of costs."""
    return ExpectedChainCosts(matrix) if isinstance(matrix, ChainCosts) else ExpectedCosts(matrix)


def expected_cost(weights: Tensor, costs: ExpectedCosts) -> Tensor:
    """Latency under weights of the candidates (equation 9), a float64 scalar.

    Layers are independent, so with probabilities as weights this is the exact
    mean over all networks of the space.

    Args:
        weights: (layers, widest); 0 where not legal.
        costs: Of the same space.
    """
    return (weights.double() * costs.us).sum() + costs.fixed_us
