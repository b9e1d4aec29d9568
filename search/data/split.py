"""Stratified choices, a function of the seed: every class keeps its share."""

import hashlib
import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search.errors import UsageError

Counts = npt.NDArray[np.int64]


def seeded(purpose: str, seed: int) -> torch.Generator:
    """A CPU generator of its own for each purpose, so that choices are independent."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def split_indices(labels: Tensor, shares: tuple[float, ...], seed: int) -> tuple[Tensor, ...]:
    """Disjoint sets of indices that together cover all, one a share, each sorted.

    FBNet trains weights on 0.8 and architecture on 0.2, FP-NAS on 0.5 and 0.5.
    A class is spread by these shares to the nearest image, and over all splits
    as soon as it has that many images.

    Args:
        labels: (N,) int64 class numbers.
        shares: Positive, with sum 1.
        seed: Decides which images go where.

    Raises:
        UsageError: Shares are not positive or do not add up to 1.
    """
    if not shares or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UsageError(
            f"The shares {shares} do not divide a set.", "Give positive numbers that add up to 1."
        )
    pools = _pools(labels, "split", seed)
    parts, left = [], 1.0
    for later, share in zip(range(len(shares) - 1, 0, -1), shares, strict=False):
        sizes = _sizes(pools)
        counts = _apportion(sizes, round(int(sizes.sum()) * share / left), spare=later)
        parts.append(_first(pools, counts))
        pools = [pool[count:] for pool, count in zip(pools, counts.tolist(), strict=True)]
        left -= share
    return (*parts, _first(pools, _sizes(pools)))


def stratified_subset(labels: Tensor, number: int, seed: int) -> Tensor:
    """Sorted indices of `number` images (or all), at least one of each class.

    Raises:
        UsageError: Fewer images than classes.
    """
    if number >= len(labels):
        return torch.arange(len(labels))
    pools = _pools(labels, "limit", seed)
    sizes = _sizes(pools)
    present = int((sizes > 0).sum())
    if number < present:
        raise UsageError(
            f"A limit of {number} images leaves some of {present} classes without any.",
            f"Take at least {present} images, or fewer classes.",
        )
    counts = _apportion(sizes, number, spare=0)
    while counts.sum() > number:
        # Rare classes were lifted to one image: the most frequent one pays.
        counts[counts.argmax()] -= 1
    return _first(pools, counts)


def _pools(labels: Tensor, purpose: str, seed: int) -> list[Tensor]:
    """The indices of each class, shuffled."""
    order = torch.randperm(len(labels), generator=seeded(purpose, seed))
    grouped = order[labels[order].argsort(stable=True)]
    sizes: list[int] = torch.bincount(labels).tolist()
    bounds = np.cumsum([0, *sizes]).tolist()
    return [grouped[begin:end] for begin, end in pairwise(bounds)]


def _sizes(pools: Iterable[Tensor]) -> Counts:
    return np.array([len(pool) for pool in pools], dtype=np.int64)


def _apportion(sizes: Counts, number: int, spare: int) -> Counts:
    """How many of each class make up `number`: largest remainders first.

    At least one of each class, and `spare` of it left over, as far as it reaches.
    """
    quotas = sizes * (number / max(int(sizes.sum()), 1))
    counts = np.floor(quotas).astype(np.int64)
    missing = max(number - int(counts.sum()), 0)
    counts[np.argsort(counts - quotas, kind="stable")[:missing]] += 1
    least = np.minimum(sizes, 1)
    clipped: Counts = np.clip(counts, least, np.maximum(sizes - spare, least))
    return clipped


def _first(pools: list[Tensor], counts: Counts) -> Tensor:
    taken = [pool[:count] for pool, count in zip(pools, counts.tolist(), strict=True)]
    return torch.cat([*taken, torch.empty(0, dtype=torch.int64)]).sort().values
