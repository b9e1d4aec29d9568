"""The FBNet space with a known quality for every network.

Each candidate adds a constant to a number; the last module turns the sum S
into two logits whose cross entropy is S. So the cross entropy of a network is
a separable function, and the best network of any loss is found by dynamic
programming.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from search.costs.matrix import CostMatrix
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace

Array = npt.NDArray[np.float64]
# Latencies are multiples of this, so that the programme below is exact.
GRID_US = 10.0
LEAST_CE = 2.0


class _Add(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.value


class _Logits(nn.Module):
    """S to (z, 0) with softplus(-z) = S: the cross entropy of class 0 is S."""

    def forward(self, x: Tensor) -> Tensor:
        z = -torch.log(torch.expm1((x + LEAST_CE).clamp(min=1e-3)))
        return torch.cat([z, torch.zeros_like(z)], dim=1)


def builder(quality: Array) -> Callable[[OperatorSpec], nn.Module]:
    """Operator to module; layers and candidates must be built in their order."""
    values = iter(quality[np.isfinite(quality)].tolist())

    def build(operator: OperatorSpec) -> nn.Module:
        if operator.kind == "classifier":
            return _Logits()
        return nn.Identity() if operator.kind == "conv" else _Add(next(values))

    return build


def random_problem(space: LayeredSpace, seed: int) -> tuple[CostMatrix, Array]:
    """Latencies and what each candidate adds to the cross entropy; slow is good."""
    generator = np.random.default_rng(seed)
    widths = np.array([len(layer.choices) for layer in space.layers])
    legal = np.arange(widths.max()) < widths[:, None]
    latency = GRID_US * np.round(10 ** generator.uniform(1.0, 2.7, legal.shape))
    quality = 0.15 * np.exp(-latency / 400) + generator.uniform(0, 0.005, legal.shape)
    for number, layer in enumerate(space.layers):
        for index, choice in enumerate(layer.choices):
            if choice.is_skip:
                latency[number, index], quality[number, index] = 0.0, 0.12
    matrix = CostMatrix(costs=np.where(legal, latency, np.inf), fixed=2000.0)
    return matrix, np.where(legal, quality, np.inf)


def least_loss(matrix: CostMatrix, quality: Array, loss: Callable[[Array, Array], Array]) -> float:
    """The lowest loss(CE, LAT) of any network, for a loss that rises with both."""
    best: Array = np.zeros(1)
    for latencies, qualities in zip(matrix.costs, quality, strict=True):
        steps = [round(us / GRID_US) if np.isfinite(us) else None for us in latencies]
        longer = np.full(len(best) + max(step for step in steps if step is not None), np.inf)
        for step, value in zip(steps, qualities, strict=True):
            if step is not None:
                part = longer[step : step + len(best)]
                np.minimum(part, best + value, out=part)
        best = longer
    latency_us = matrix.fixed + GRID_US * np.arange(len(best), dtype=np.float64)
    return float(loss(best + LEAST_CE, latency_us).min())


def cross_entropy(quality: Array, choices: tuple[int, ...]) -> float:
    """Of one network."""
    return float(LEAST_CE + sum(row[index] for row, index in zip(quality, choices, strict=True)))


def noise(steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """'Images' that add noise of deviation 0.05 to the cross entropy; labels 0."""
    generator = torch.Generator().manual_seed(seed)
    draws = 0.05 * torch.randn(steps, 1, generator=generator)
    return draws, torch.zeros(steps, dtype=torch.int64)
