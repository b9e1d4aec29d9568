"""The embedded data set: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels.

From the UCI repository's "Optical recognition of handwritten digits" test
set; it comes with scikit-learn and is never downloaded.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from search.data.augment import Shift
from search.data.base import Data
from search.data.decode import Pixels
from search.data.in_memory import InMemoryImages
from search.data.pixel_cache import moments
from search.data.subset import SubsetOptions, choose_subset

BRIGHTEST = 16
NAMES = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Digits:
    """(N, 8, 8) uint8 with labels, a pool to choose from."""

    pixels: Pixels
    labels: Tensor

    def subset(self, indices: Tensor, labels: Tensor) -> "_Digits":
        return _Digits(pixels=self.pixels[indices.numpy()], labels=labels)

    def resized(self, resolution: int) -> Pixels:
        side = (resolution, resolution)
        rows = [
            np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BILINEAR))
            for image in self.pixels
        ]
        return np.repeat(np.stack(rows)[:, None], 3, axis=1)


def open_digits(options: SubsetOptions) -> Data:
    """The digits at the resolution of the options, grey in three channels."""
    from sklearn.datasets import load_digits  # a second to import, and needed here alone

    digits = load_digits()
    pool = _Digits(
        pixels=(digits.images * (255 / BRIGHTEST)).round().astype(np.uint8),
        labels=torch.from_numpy(digits.target.astype(np.int64)),
    )
    classes, train, test = choose_subset(NAMES, pool, None, options)
    pixels = train.resized(options.resolution)
    normalisation = options.normalisation or moments(pixels)
    shift = Shift(pad=max(options.resolution // 8, 1), fill=(0, 0, 0), flip=False)

    def images(pool: _Digits, resized: Pixels) -> InMemoryImages:
        return InMemoryImages(torch.from_numpy(resized), pool.labels, normalisation, shift)

    return Data(
        name="digits",
        classes=classes,
        resolution=options.resolution,
        train=images(train, pixels),
        test=images(test, test.resized(options.resolution)),
        normalisation=normalisation,
    )
