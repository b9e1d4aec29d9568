"""Random changes of training images; every random number comes from one generator.

Small images: shifts and flips (He et al., arXiv 1512.03385, section 4.2), on
whole batches. Large images: random resized crops and flips (Szegedy et al.,
arXiv 1409.4842, section 6), drawn for the batch before any image is decoded.
"""

from dataclasses import dataclass
from math import exp, log, sqrt

import torch
from torch import Tensor

from search.data.decode import Box, Size

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Move by up to `pad` pixels either way, then flip every second image.

    `fill` is the byte that appears at the border, a channel. Characters are
    not flipped: it would make another class of them.
    """

    pad: int
    fill: tuple[int, int, int]
    flip: bool

    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of (B, 3, R, R) uint8 images; no loop over images."""
        number, channels, side = images.shape[:3]
        places = torch.randint(2 * self.pad + 1, (2, number), generator=generator)
        flipped = torch.rand(number, generator=generator) < 0.5
        wide = side + 2 * self.pad
        padded = torch.tensor(self.fill, dtype=torch.uint8).view(3, 1, 1)
        padded = padded.expand(number, channels, wide, wide).contiguous()
        padded[:, :, self.pad : self.pad + side, self.pad : self.pad + side] = images
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)
        moved = windows[torch.arange(number), :, places[0], places[1]]
        if not self.flip:
            return moved
        return torch.where(flipped.view(-1, 1, 1, 1), moved.flip(3), moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A random resized crop, as numbers in [0, 1) that wait for an image's size."""

    tries: tuple[tuple[float, float], ...]
    place: tuple[float, float]
    flip: bool

    def box(self, size: Size) -> Box:
        """The area to cut out of an image of this (width, height).

        The first try whose area and shape fit; if none does, the largest
        central area of an allowed shape.
        """
        for area, shape in self.tries:
            pixels = size[0] * size[1] * (SCALE[0] + area * (SCALE[1] - SCALE[0]))
            ratio = exp(log(RATIO[0]) + shape * log(RATIO[1] / RATIO[0]))
            width, height = round(sqrt(pixels * ratio)), round(sqrt(pixels / ratio))
            if 0 < width <= size[0] and 0 < height <= size[1]:
                left = int(self.place[0] * (size[0] - width + 1))
                top = int(self.place[1] * (size[1] - height + 1))
                return left, top, left + width, top + height
        width = max(min(size[0], round(size[1] * RATIO[1])), 1)
        height = max(min(size[1], round(size[0] / RATIO[0])), 1)
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        return left, top, left + width, top + height


def draw_crops(number: int, generator: torch.Generator) -> list[Crop]:
    """Crops for a batch; as many random numbers whatever the images turn out to be."""
    rows = torch.rand(number, 2 * TRIES + 3, generator=generator, dtype=torch.float64).tolist()
    return [
        Crop(
            tries=tuple(zip(row[0 : 2 * TRIES : 2], row[1 : 2 * TRIES : 2], strict=True)),
            place=(row[-3], row[-2]),
            flip=row[-1] < 0.5,
        )
        for row in rows
    ]
