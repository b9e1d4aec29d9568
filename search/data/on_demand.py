"""Large images, decoded when a batch asks for them."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search.data.augment import Crop, draw_crops
from search.data.base import Broken, PixelScaling
from search.data.build_once import writing
from search.data.decode import (
    Box,
    Pixels,
    Size,
    Unreadable,
    central,
    check_header,
    read_image,
    unreadable,
    workers,
)
from search.data.folder import Listing
from search.documents import parse_json
from search.errors import UsageError
from search.files import write_text


class OnDemandImages:
    """An `ImageSet` of files, decoded by threads a batch at a time.

    A broken image is replaced by the next readable one of its class, so that
    shares of classes and sizes of batches do not change.

    Args:
        listing: The files; their headers were found to be good.
        resolution: Pixels a side.
        normalisation: Applied to every batch.
        broken: Told about every image that cannot be decoded.
        area: What is cut out of an image that is not augmented.
    """

    def __init__(
        self,
        listing: Listing,
        resolution: int,
        normalisation: PixelScaling,
        broken: Broken,
        area: Callable[[Size], Box] = central,
    ) -> None:
        self.labels = listing.labels
        self._listing = listing
        self._resolution = resolution
        self._normalisation = normalisation
        self._broken, self._area = broken, area
        self._pool = ThreadPoolExecutor(workers(), thread_name_prefix="decoder")

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """See `ImageSet.batch`.

        Raises:
            UsageError: No image of a class can be decoded any more.
        """
        crops: list[Crop | None] = [None] * len(indices)
        if generator is not None:
            crops = [*draw_crops(len(indices), generator)]
        side = self._resolution
        pixels = np.empty((len(indices), 3, side, side), dtype=np.uint8)
        decoded = self._pool.map(self._decode, indices.tolist(), crops)
        for row, image in enumerate(decoded):
            pixels[row] = image.transpose(2, 0, 1)
        return self._normalisation.apply(torch.from_numpy(pixels)), self.labels[indices]

    def _decode(self, index: int, crop: Crop | None) -> Pixels:
        area = self._area if crop is None else crop.box
        for candidate in self._candidates(index):
            name = self._listing.names[candidate]
            try:
                image = read_image(self._listing.root / name, self._resolution, area)
            except Unreadable:
                self._broken.add(name)
            else:
                return image[:, ::-1] if crop is not None and crop.flip else image
        raise UsageError(
            f"No image of the class of {self._listing.names[index]} can be decoded any more.",
            "Look whether its files are still there, and open the data again.",
        )

    def _candidates(self, index: int) -> Iterator[int]:
        """This image, then the others of its class that follow it, round in a circle."""
        yield index
        same = (self.labels == self.labels[index]).nonzero()[:, 0]
        start = int((same <= index).sum())
        yield from same[start:].tolist()
        yield from same[: start - 1].tolist()


def broken_headers(listing: Listing, cache: Path) -> list[int]:
    """Numbers of the files that do not begin like an image.

    Looked at once, and again only after a file has changed.
    """
    note = cache / "headers" / f"{listing.fingerprint}.json"
    known = _read(note, len(listing))
    if known is not None:
        return known

    def look(index: int) -> None:
        check_header(listing.root / listing.names[index])

    broken = unreadable(len(listing), look)
    with writing(note):
        write_text(note, json.dumps(broken))
    return broken


def _read(note: Path, number: int) -> list[int] | None:
    try:
        known: Any = parse_json(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    good = isinstance(known, list) and all(
        isinstance(index, int) and 0 <= index < number for index in known
    )
    return known if good else None
