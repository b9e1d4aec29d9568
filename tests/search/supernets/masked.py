"""Small masked spaces, weights of their options, and supernets that have lived."""

import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.registry import make_space

MODES = ("fbnetv2-mini", "fbnetv2-mini-free")

Module = TypeVar("Module", bound=nn.Module)


def space_of(mode: str, resolution: int = 16) -> MaskedSpace:
    space = make_space(mode, resolution=resolution, classes=4, head_channels=16)
    assert isinstance(space, MaskedSpace)
    return space


def widths_of(space: MaskedSpace) -> list[int]:
    return [len(variable.choices) for variable in space.layers]


def one_hot(space: MaskedSpace, choices: Sequence[int]) -> Tensor:
    widths = widths_of(space)
    weights = torch.zeros(len(widths), max(widths))
    weights[torch.arange(len(widths)), torch.tensor(choices)] = 1
    return weights


def soft(space: MaskedSpace, generator: torch.Generator) -> Tensor:
    """Random distributions over the options of every variable."""
    widths = widths_of(space)
    weights = torch.zeros(len(widths), max(widths))
    for row, width in zip(weights, widths, strict=True):
        row[:width] = torch.randn(width, generator=generator).softmax(0)
    return weights


def lived_in(module: Module) -> Module:
    """In evaluation mode, with statistics and biases that are not those of a fresh network."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.track_running_stats = True
            nn.init.uniform_(part.bias, -1, 1)
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


def draw(space: MaskedSpace, generator: random.Random) -> list[int]:
    return [generator.randrange(width) for width in widths_of(space)]
