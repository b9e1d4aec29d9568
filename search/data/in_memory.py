"""Small images, decoded once and kept in memory."""

import torch
from torch import Tensor

from search.data.augment import Shift
from search.data.base import PixelScaling


class InMemoryImages:
    """An `ImageSet` of pixels held in one tensor.

    Args:
        images: (N, 3, R, R) uint8.
        labels: (N,) int64.
        normalisation: Applied to every batch.
        shift: Applied where a generator is given.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, normalisation: PixelScaling, shift: Shift
    ) -> None:
        self.labels = labels
        self._images = images
        self._normalisation = normalisation
        self._shift = shift

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        images = self._images[indices]
        if generator is not None:
            images = self._shift.apply(images, generator)
        return self._normalisation.apply(images), self.labels[indices]
