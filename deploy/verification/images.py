"""Real images for deployment: to calibrate on, and to compare the device with torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.network import load_weights, seeded_network
from deploy.verification.device_side import Chunk
from search.architecture import Architecture
from search.data.base import Data, ImageSet, PixelScaling
from search.data.open import open_data
from search.data.preprocessing import read_preparation
from search.errors import UsageError

_CHUNK_IMAGES = 256
_CHUNK_BYTES = 64 * 2**20
RANDOM_IMAGES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The images that device and torch are compared on.

    Without data they are seeded noise; labels count only for trained weights.
    """

    export: ExportSpec
    images: ImageSet | None
    indices: Tensor
    labelled: bool

    def __len__(self) -> int:
        return len(self.indices)

    def chunks(self) -> Iterator[Chunk]:
        """All images with torch's outputs, a file's worth at a time."""
        network = reference(self.export)
        shape = self.export.operators[0].input_shape[1:]
        most = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (4 * int(np.prod(shape)))))
        for start in range(0, len(self.indices), most):
            chosen = self.indices[start : start + most]
            images, labels = self._batch(chosen, shape)
            with torch.no_grad():
                expected = network(images)
            yield Chunk(
                images=images.numpy(),
                expected=expected.numpy(),
                labels=labels.numpy() if labels is not None and self.labelled else None,
            )

    def _batch(self, indices: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
        if self.images is not None:
            return self.images.batch(indices, None)
        noise = [
            torch.randn(shape, generator=torch.Generator().manual_seed(int(index)))
            for index in indices
        ]
        return torch.stack(noise), None


def reference(export: ExportSpec) -> nn.Module:
    """The torch module that was exported, before anything was folded or quantised.

    Raises:
        UsageError: The weights are not of this network.
    """
    network = seeded_network(export.operators)
    if export.weights:
        load_weights(network, export.weights, export.operators)
    return network


def open_images(
    source: str,
    architecture: Architecture,
    *,
    weights: Path | None,
    seed: int,
    train_folder: str | None = None,
    val_folder: str | None = None,
) -> Data:
    """The data at the network's resolution, scaled as its weights want it.

    Raises:
        UsageError: No such data, or of other classes than trained weights.
    """
    note = read_preparation(weights) if weights else None
    data = open_data(
        source,
        resolution=architecture.resolution,
        seed=seed,
        train_folder=train_folder,
        val_folder=val_folder,
        normalisation=PixelScaling(mean=note.mean, std=note.std) if note else None,
    )
    if note and note.classes != data.classes:
        raise UsageError(
            f"{weights} was trained on {note.data}; the classes of {data.name} are others.",
            "Give the data that its weights were trained on.",
        )
    if weights and len(data.classes) != architecture.classes:
        raise UsageError(
            f"{architecture.name} tells {architecture.classes} classes apart, "
            f"{data.name} has {len(data.classes)}.",
            "Give the data that its weights were trained on.",
        )
    return data


def calibration_images(data: Data, number: int, seed: int) -> Tensor:
    """Training images (N, 3, R, R) drawn evenly over the classes, not augmented."""
    labels = data.train.labels
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    # Each image's rank within its class: taking low ranks first is fair to all.
    ranks = torch.empty(len(labels), dtype=torch.int64)
    for label in labels.unique():  # type: ignore[no-untyped-call]
        mine = order[labels[order] == label]
        ranks[mine] = torch.arange(len(mine))
    chosen = order[ranks[order].argsort(stable=True)][:number]
    images, _ = data.train.batch(chosen, None)
    return images


def evaluation(
    export: ExportSpec, data: Data | None, *, most: int | None, trained: bool, seed: int
) -> Evaluation:
    """Test images to compare on, at most `most`, evenly drawn; noise without data."""
    if data is None:
        number = RANDOM_IMAGES if most is None else most
        return Evaluation(export=export, images=None, indices=torch.arange(number), labelled=False)
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed))
    return Evaluation(export=export, images=data.test, indices=order[:most], labelled=trained)
