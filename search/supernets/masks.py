"""Masks over channels, and samples of pixels: many shapes in one tensor.

FBNetV2 (arXiv 2004.05565), sections 3.1 and 3.2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from search.errors import UsageError


def leading_ones(widths: Sequence[int], channels: int) -> Tensor:
    """(options, channels): row i keeps the first widths[i] channels (equation 2)."""
    return (torch.arange(channels) < torch.tensor(widths)[:, None]).float()


def channel_mask(weights: Tensor, ones: Tensor) -> Tensor:
    """M = sum_i g_i 1_i (equation 3) for (batch, channels, height, width)."""
    return (weights[: len(ones)].to(ones) @ ones)[:, None, None]


def subsample(images: Tensor, size: int) -> Tensor:
    """The pixels floor(i / r) of square maps, r = size / full: nearest neighbour, fixed."""
    if size == images.shape[-1]:
        return images
    at = sampled_pixels(images.shape[-1], size, images.device)
    return images[..., at, :][..., at]


def scatter(maps: Tensor, size: int) -> Tensor:
    """Put values back on the pixels that they came from, in maps of zeros of the full size."""
    if size == maps.shape[-1]:
        return maps
    at = sampled_pixels(size, maps.shape[-1], maps.device)
    full = maps.new_zeros(*maps.shape[:-2], size, size)
    full[..., at[:, None], at] = maps
    return full


def sampled_pixels(full: int, size: int, device: torch.device) -> Tensor:
    """(size,) indices of the pixels that a smaller input keeps."""
    if not 1 <= size <= full:
        raise UsageError(f"An input of {size} px cannot be sampled from one of {full} px.")
    return torch.arange(size, device=device) * full // size
