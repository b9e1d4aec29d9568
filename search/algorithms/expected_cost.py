"""Differentiable expected costs of distributions over choices.

Modules from (layers, widest) weights of the candidates to a float64 scalar in
the unit of the costs. Each is multilinear: exact for one-hot weights, and the
mean over all networks for independent distributions. None is in a state dict.
"""

from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn

from search.costs.base import Costs
from search.costs.chain import ChainCosts
from search.costs.factors import FactorCosts
from search.costs.joint import JointCosts
from search.costs.matrix import CostMatrix


class ExpectedMatrixCosts(nn.Module):
    """Expected cost of independent layers (FBNet, equation 9).

    Entries that are not legal, infinite in the matrix, are 0 here: they only
    ever meet the weight 0, and 0 * inf is not a number.

    Attributes:
        costs: (layers, widest) float64.
        fixed: The cost that every network has.
    """

    costs: Tensor

    def __init__(self, matrix: CostMatrix) -> None:
        super().__init__()
        finite = np.where(matrix.legal, matrix.costs, 0.0)
        self.register_buffer("costs", torch.from_numpy(finite), persistent=False)
        self.fixed = matrix.fixed

    def forward(self, weights: Tensor) -> Tensor:
        """Sum over the layers of the candidates' costs by their weights."""
        return (weights.double() * self.costs).sum() + self.fixed


class ExpectedFactorCosts(nn.Module):
    """Expected cost of interacting variables: (variables, widest) weights of the options."""

    def __init__(self, costs: FactorCosts) -> None:
        super().__init__()
        self.fixed = costs.fixed
        self.variables = [factor.variables for factor in costs.factors]
        self.shapes = [factor.values.shape for factor in costs.factors]
        for number, factor in enumerate(costs.factors):
            # Flat: a module moved to channels-last refuses tensors of five dimensions.
            flat = torch.from_numpy(factor.values.ravel())
            self.register_buffer(f"factor{number}", flat, persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Sum over the factors of their values by the product of their variables' weights."""
        total: Tensor = weights.new_tensor(self.fixed, dtype=torch.float64)
        for number, variables in enumerate(self.variables):
            value: Tensor = getattr(self, f"factor{number}").reshape(self.shapes[number])
            for variable in variables:  # contracts the first remaining axis
                row = weights[variable, : value.shape[0]].double()
                value = torch.tensordot(row, value, dims=1)
            total = total + value
        return total


class ExpectedChainCosts(nn.Module):
    """Expected cost along a chain."""

    last: Tensor

    def __init__(self, costs: ChainCosts) -> None:
        super().__init__()
        self.fixed, self.layers = costs.fixed, len(costs.transitions)
        for number, transition in enumerate(costs.transitions):
            layer_costs = torch.from_numpy(transition.costs)
            self.register_buffer(f"costs{number}", layer_costs, persistent=False)
            next_state = torch.from_numpy(transition.next_state)
            self.register_buffer(f"next_state{number}", next_state, persistent=False)
        self.register_buffer("last", torch.from_numpy(costs.last), persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Sum over the layers by the probability of every width that comes in."""
        total = weights.new_tensor(self.fixed, dtype=torch.float64)
        states = weights.new_ones(1, dtype=torch.float64)
        for number in range(self.layers):
            costs: Tensor = getattr(self, f"costs{number}")
            next_state: Tensor = getattr(self, f"next_state{number}")
            joint = states[:, None] * weights[number, : costs.shape[1]].double()
            total = total + (joint * costs).sum()
            more = number + 1 < self.layers
            width = len(getattr(self, f"costs{number + 1}") if more else self.last)
            states = joint.new_zeros(width).index_add(0, next_state.reshape(-1), joint.reshape(-1))
        return total + (states * self.last).sum()


@singledispatch
def expected_cost_of(costs: Costs) -> nn.Module:
    """The expected cost of any kind of costs.

    Raises:
        TypeError: A kind that has none; register it here.
    """
    raise TypeError(f"Costs of the type {type(costs).__name__} have no expected cost.")


expected_cost_of.register(CostMatrix, ExpectedMatrixCosts)
expected_cost_of.register(FactorCosts, ExpectedFactorCosts)
expected_cost_of.register(ChainCosts, ExpectedChainCosts)


class LargestShare(nn.Module):
    """The largest share of a limit that is expected, times the most of the first one.

    Its gradient is that of the limit of which most is used.

    Args:
        costs: The limits.
        model_of: The expected cost of one limit's costs.
    """

    def __init__(self, costs: JointCosts, model_of: Callable[[Costs], nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(model_of(limit.costs) for limit in costs.limits)
        self.most = [limit.most for limit in costs.limits]

    def forward(self, weights: Tensor) -> Tensor:
        """As of one kind of costs."""
        pairs = zip(self.parts, self.most, strict=True)
        shares = torch.stack([part(weights) / most for part, most in pairs])
        return shares.max() * self.most[0]


@expected_cost_of.register(JointCosts)
def _expected_jointly(costs: JointCosts) -> nn.Module:
    return LargestShare(costs, expected_cost_of)
