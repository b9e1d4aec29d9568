"""A planted problem with real training and a known optimum.

Images of 6 x 20 signs; within a row x[j] = label * x[j - 8] (some flipped), so
only a network that sees 9 pixels at once can tell the label. Three 1 x k
convolutions with k in {3, 5}: all k = 3 see 7 pixels and guess, any k = 5
suffices. One layer's k = 5 is cheap, so exactly one network is both able and
fast, and the tables differ in which.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from search.costs.matrix import CostMatrix
from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer, LayeredSpace

HEIGHT, WIDTH, CHANNELS, PERIOD = 6, 20, 8, 8
TARGET_US = 330.0
# Costs of k = 5 by layer; k = 3 costs 100 everywhere.
TABLES = {"A": (120.0, 300.0, 300.0), "B": (300.0, 300.0, 120.0)}
OPTIMA = {"A": (1, 0, 0), "B": (0, 0, 1)}


def _conv(kernel: int, in_channels: int) -> OperatorSpec:
    return OperatorSpec(
        kind="conv",
        kernel=kernel,
        activation="relu",
        in_channels=in_channels,
        out_channels=CHANNELS,
        height=HEIGHT,
        width=WIDTH,
    )


@dataclass(frozen=True)
class PlantedSpace(LayeredSpace):
    """Three layers of two candidates, global average, linear classifier."""

    spec: str = "planted"
    before: tuple[OperatorSpec, ...] = ()
    layers: tuple[Layer, ...] = tuple(
        Layer(
            name=f"conv{number}",
            choices=tuple(
                Choice(name=f"k{kernel}", operator=_conv(kernel, in_channels)) for kernel in (3, 5)
            ),
        )
        for number, in_channels in enumerate((1, CHANNELS, CHANNELS))
    )
    after: tuple[OperatorSpec, ...] = (
        OperatorSpec(
            kind="classifier", in_channels=CHANNELS, out_channels=2, height=HEIGHT, width=WIDTH
        ),
    )


def build(operator: OperatorSpec) -> nn.Sequential:
    """As `build_operator`, but kernels see one row only."""
    if operator.kind == "classifier":
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(operator.in_channels, 2)
        )
    kernel = operator.kernel
    return nn.Sequential(
        nn.Conv2d(
            operator.in_channels, CHANNELS, (1, kernel), padding=(0, kernel // 2), bias=False
        ),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU(),
    )


def costs(table: str) -> CostMatrix:
    """The latencies of one device."""
    return CostMatrix(costs=np.array([[100.0, us] for us in TABLES[table]]), fixed=0.0)


def images(
    number: int, generator: torch.Generator, *, flipped: float = 0.10, mislabelled: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Images (number, 1, 6, 20) and labels.

    Wrong labels keep the cross entropy above 0: without them nothing of the
    latency's gradient would be left once the network is good.
    """

    def signs(*shape: int) -> Tensor:
        return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1

    labels = torch.randint(0, 2, (number,), generator=generator)
    relation = (labels * 2.0 - 1)[:, None]
    x = signs(number, HEIGHT, WIDTH)
    for j in range(PERIOD, WIDTH):
        wrong = torch.rand(number, HEIGHT, generator=generator) < flipped
        x[:, :, j] = relation * x[:, :, j - PERIOD] * torch.where(wrong, -1.0, 1.0)
    swapped = torch.rand(number, generator=generator) < mislabelled
    return x[:, None], torch.where(swapped, 1 - labels, labels)
