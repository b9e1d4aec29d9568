"""Choice of the classes and images of a source that are used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from search.data.base import PixelScaling
from search.data.split import seeded, split_indices, stratified_subset
from search.errors import UsageError

TRAIN_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetOptions:
    """Options of `open_data`; None means all, or for `normalisation` that of the images.

    Raises:
        UsageError: A number that can mean nothing.
    """

    resolution: int
    classes: int | None = None
    limit: int | None = None
    test_limit: int | None = None
    seed: int = 0
    normalisation: PixelScaling | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.resolution <= 4096:
            raise UsageError(
                f"Images of {self.resolution} px cannot be made.", "Ask for 1 to 4096 px."
            )
        if self.resize is not None and self.resize < self.resolution:
            raise UsageError(
                f"Images resized to {self.resize} px hold no square of {self.resolution} px.",
                f"Resize to {self.resolution} px at least.",
            )
        if self.classes is not None and self.classes < 2:
            raise UsageError(f"{self.classes} classes leave nothing to tell apart.", "Ask for two.")


class Pool(Protocol):
    """Labelled things of which a part can be taken."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        ...

    def subset(self, indices: Tensor, labels: Tensor) -> Self:
        """These things in this order, with new labels."""
        ...


P = TypeVar("P", bound=Pool)


def choose_subset(
    classes: Sequence[str], train: P, test: P | None, options: SubsetOptions
) -> tuple[tuple[str, ...], P, P]:
    """Names of the classes, training and test pools, as the options ask.

    Without a test pool a fifth of each class becomes one. Classes are drawn
    first and renumbered in their old order, then images are drawn from them.

    Raises:
        UsageError: More classes than there are, fewer images than classes, or
            a class too small to be divided.
    """
    if test is None:
        train, test = _divided(classes, train, options.seed)
    keep = _drawn(len(classes), options)
    train, test = _only(train, keep), _only(test, keep)
    names = tuple(classes[number] for number in keep.tolist())
    return (
        names,
        _limited(train, options.limit, options.seed),
        _limited(test, options.test_limit, options.seed),
    )


def _divided(classes: Sequence[str], pool: P, seed: int) -> tuple[P, P]:
    sizes = torch.bincount(pool.labels, minlength=len(classes))
    if int(sizes.min()) < 2:
        name = classes[int(sizes.argmin())]
        raise UsageError(
            f"The class {name!r} has one image, which cannot train and test.",
            "Add images, or divide them yourself into train/ and val/.",
        )
    parts = split_indices(pool.labels, (TRAIN_SHARE, 1 - TRAIN_SHARE), seed)
    first, second = (pool.subset(part, pool.labels[part]) for part in parts)
    return first, second


def _drawn(number: int, options: SubsetOptions) -> Tensor:
    """Numbers of the classes that stay, sorted."""
    if options.classes is None:
        return torch.arange(number)
    if options.classes > number:
        raise UsageError(
            f"{options.classes} classes were asked for; there are {number}.",
            f"Ask for {number} at most.",
        )
    order = torch.randperm(number, generator=seeded("classes", options.seed))
    return order[: options.classes].sort().values


def _only(pool: P, keep: Tensor) -> P:
    indices = torch.isin(pool.labels, keep).nonzero()[:, 0]
    return pool.subset(indices, torch.searchsorted(keep, pool.labels[indices]))


def _limited(pool: P, limit: int | None, seed: int) -> P:
    if limit is None:
        return pool
    indices = stratified_subset(pool.labels, limit, seed)
    return pool.subset(indices, pool.labels[indices])
