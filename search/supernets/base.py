"""Contract of all supernets, and masks of choices."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.operators.words import space_label
from search.spaces.base import SearchSpace

Build = Callable[[OperatorSpec], nn.Module]


def legal_mask(space: SearchSpace) -> Tensor:
    """(layers, widest) booleans: where the space has a candidate.

    Raises:
        UsageError: The space has no layer, or a layer without candidates.
    """
    widths = torch.tensor([len(layer.choices) for layer in space.layers])
    if not len(widths) or not widths.min():
        raise UsageError(f"{space_label(space.spec)} has a layer without candidates, or no layer.")
    return torch.arange(int(widths.max())) < widths[:, None]


def one_hot(choices: Sequence[int], widths: Sequence[int]) -> Tensor:
    """(layers, widest) weights of one network, whose choices are legal."""
    weights = torch.zeros(len(widths), max(widths))
    weights[torch.arange(len(choices)), torch.tensor(choices)] = 1
    return weights
