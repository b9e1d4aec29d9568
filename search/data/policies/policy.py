"""Policies: which operations an image gets, by random numbers that are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from search.data.policies.autoaugment import CIFAR10, IMAGENET, SubPolicy
from search.data.policies.operations import SIGNED
from search.errors import UsageError

# RandAugment's fourteen (arXiv 1909.13719, section 3).
RANDOM = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "posterize",
    "contrast",
    "brightness",
    "sharpness",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One operation and its amount."""

    operation: str
    amount: float


class Policy(Protocol):
    """Chooses operations; a function of its numbers alone."""

    @property
    def numbers(self) -> int:
        """How many random numbers an image takes."""
        ...

    def changes(self, numbers: Sequence[float]) -> Iterator[Change]:
        """The operations of an image, in order.

        Args:
            numbers: In [0, 1).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RandAugment:
    """So many operations of equal magnitude, drawn evenly (arXiv 1909.13719).

    Attributes:
        operations: An image.
        magnitude: 0 to 1; the paper's M of 30 is M / 30.
    """

    operations: int = 2
    magnitude: float = 0.3

    @property
    def numbers(self) -> int:
        return 2 * self.operations

    def changes(self, numbers: Sequence[float]) -> Iterator[Change]:
        for which, sign in zip(numbers[::2], numbers[1::2], strict=True):
            yield _change(RANDOM[int(which * len(RANDOM))], self.magnitude, sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAugment:
    """One of some learnt pairs of operations an image (arXiv 1805.09501)."""

    pairs: tuple[SubPolicy, ...]

    @property
    def numbers(self) -> int:
        return 5

    def changes(self, numbers: Sequence[float]) -> Iterator[Change]:
        pair = self.pairs[int(numbers[0] * len(self.pairs))]
        for (operation, chance, level), taken, sign in zip(
            pair, numbers[1::2], numbers[2::2], strict=True
        ):
            if taken < chance:
                yield _change(operation, level / 9, sign)


def _change(operation: str, amount: float, sign: float) -> Change:
    negative = operation in SIGNED and sign < 0.5
    return Change(operation, -amount if negative else amount)


def make_policy(name: str, operations: int, magnitude: float) -> Policy:
    """A policy by name.

    Args:
        name: `randaugment`, `autoaugment` (ImageNet's) or `autoaugment-cifar`.
        operations: Of `randaugment`.
        magnitude: Of `randaugment`, 0 to 1.

    Raises:
        UsageError: Unknown.
    """
    if name == "randaugment":
        return RandAugment(operations=operations, magnitude=magnitude)
    if name == "autoaugment":
        return AutoAugment(pairs=IMAGENET)
    if name == "autoaugment-cifar":
        return AutoAugment(pairs=CIFAR10)
    raise UsageError(
        f"Unknown augmentation policy {name!r}.",
        "Known: randaugment, autoaugment, autoaugment-cifar.",
    )
