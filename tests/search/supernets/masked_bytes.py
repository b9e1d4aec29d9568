"""How much a channel search keeps for the backward pass, masked and with a copy an option.

Four convolutions (3x3, batch norm, ReLU) of equal width, whose output widths are
searched among k options {c/k, ..., c}: (options)^4 networks.
"""

import math

import torch
from torch import Tensor, nn

from search.supernets.masks import channel_mask, leading_ones

LAYERS = 4


def _layer(channels: int, device: str) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU()).to(device)


def forward(
    options: int, *, naive: bool, channels: int, batch: int, size: int, device: str = "cpu"
) -> Tensor:
    """The output, its graph alive; naive runs every option's own layer and sums (equation 1)."""
    widths = [channels * (i + 1) // options for i in range(options)]
    ones = leading_ones(widths, channels).to(device)
    weights = torch.full((LAYERS, options), 1 / options, device=device, requires_grad=True)
    x = torch.randn(batch, channels, size, size, device=device)
    for row in weights:
        if naive:
            x = sum(
                row[i] * (_layer(channels, device)(x) * ones[i][:, None, None])
                for i in range(options)
            )
        else:
            x = _layer(channels, device)(x) * channel_mask(row, ones)
    return x


def saved_bytes(options: int, *, naive: bool, channels: int, batch: int, size: int) -> int:
    """Bytes kept for the backward pass, each storage counted once; parameters too."""
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward(options, naive=naive, channels=channels, batch=batch, size=size)
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del output
    return total


def growth_per_two_orders(first_bytes: float, last_bytes: float, options: int) -> float:
    """Bytes that the memory grows for a space a hundred times as large, from 1 to k options."""
    return (last_bytes - first_bytes) / (math.log10(options**LAYERS) / 2)


def bend(values: dict[int, float]) -> float:
    """How far values are off the line through the first and the last, relative to the line."""
    (first, low), *_, (last, high) = sorted(values.items())
    slope = (high - low) / (last - first)
    return max(abs(value / (low + slope * (k - first)) - 1) for k, value in values.items())
