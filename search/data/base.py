"""Sets of labelled images: the contract with training, evaluation and deployment."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class ImageSet(Protocol):
    """Images of one resolution R with their labels.

    Invariants:
      * A batch is a function of (indices, generator state): equal calls give
        equal bits, whatever the number of threads.
      * Augmentation changes images, never labels.
      * `batch` may be called from several threads at once.
    """

    labels: Tensor
    """(N,) int64 class numbers."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, R, R) float32 and labels (B,) int64, on the CPU.

        Args:
            indices: (B,) numbers below `len(self)`, in any order.
            generator: A CPU generator from which every random number of the
                augmentation is drawn; None for evaluation, without augmentation.
        """
        ...


class PixelScaling(NamedTuple):
    """Mean and standard deviation of each channel, of pixels scaled to 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) uint8 pixels as normalised float32."""
        mean = torch.tensor(self.mean).mul(255).view(3, 1, 1)
        std = torch.tensor(self.std).mul(255).view(3, 1, 1)
        return images.to(torch.float32).sub_(mean).div_(std)


IMAGENET = PixelScaling(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Broken:
    """Names of the images that could not be read, in the order of their discovery.

    Grows while lazily decoded sets are used.
    """

    SHOWN = 3

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)

    def add(self, name: str) -> None:
        """Note one image; noting it again changes nothing."""
        self._names[name] = None

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def warning(self) -> str:
        """One sentence with the count and the first names; empty if there are none."""
        names = self.names
        if not names:
            return ""
        shown = ", ".join(repr(name) for name in names[: self.SHOWN])
        more = ", ..." if len(names) > self.SHOWN else ""
        images, are = ("image", "is") if len(names) == 1 else ("images", "are")
        return f"{len(names):,} {images} could not be read and {are} left out: {shown}{more}."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """A training and a test set of one problem, and how their images were prepared.

    `skipped` counts the images that opening found broken; `broken` also holds
    those that only decoding found, for which others of their class stand in. `notes`
    are sentences for the user: the split that is used, and what is passed over.
    """

    name: str
    classes: tuple[str, ...]
    resolution: int
    train: ImageSet
    test: ImageSet
    normalisation: PixelScaling
    skipped: int = 0
    notes: tuple[str, ...] = ()
    broken: Broken = field(default_factory=Broken)

    def describe(self) -> str:
        """Name, classes, images and resolution as one line of text."""
        line = (
            f"{self.name}: {len(self.classes):,} classes, {len(self.train):,} training and "
            f"{len(self.test):,} test images at {self.resolution} px"
        )
        return f"{line}, {len(self.broken):,} broken left out" if len(self.broken) else line

    def warning(self) -> str:
        """A sentence on broken images; empty if all could be read."""
        return self.broken.warning()

    @property
    def identity(self) -> str:
        """Hash of class names, images a class, resolution and normalisation.

        Checkpoints record it: weights trained on one problem are not resumed
        on another.
        """
        mean, std = self.normalisation
        facts = {
            "classes": self.classes,
            "train": self._counts(self.train),
            "test": self._counts(self.test),
            "resolution": self.resolution,
            "mean": [f"{value:.6f}" for value in mean],
            "std": [f"{value:.6f}" for value in std],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _counts(self, images: ImageSet) -> list[int]:
        counts: list[int] = torch.bincount(images.labels, minlength=len(self.classes)).tolist()
        return counts
