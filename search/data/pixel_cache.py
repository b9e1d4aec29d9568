"""All images of a listing as one array, decoded once and kept in the cache."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL

from search.data.base import PixelScaling
from search.data.build_once import built_once
from search.data.decode import Pixels, read_image, unreadable, whole
from search.data.folder import Listing
from search.documents import parse_json
from search.files import write_text

CHUNK = 128
RECIPE = f"decode-1 pillow-{PIL.__version__}"
"""Goes into the key: pixels decoded another way are not found again."""

IMAGES, FACTS = "images.npy", "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """Readable images (N, 3, R, R) uint8, the numbers of the others, and moments of pixels."""

    images: Pixels
    broken: tuple[int, ...]
    normalisation: PixelScaling


def decoded(listing: Listing, resolution: int, cache: Path) -> Decoded:
    """Every image of a listing, resized to R x R.

    Raises:
        StorageError: The cache cannot be written.
    """
    text = f"{RECIPE} {resolution} {listing.fingerprint}"
    target = cache / "decoded" / hashlib.sha256(text.encode()).hexdigest()
    shape = (len(listing), 3, resolution, resolution)
    build = partial(_write, listing, resolution)
    images = _load(built_once(target, build), shape)
    if images is None:
        shutil.rmtree(target, ignore_errors=True)
        images = _load(built_once(target, build), shape)
    assert images is not None, "what was written just now can be read"
    return images


def moments(images: Pixels) -> PixelScaling:
    """Mean and standard deviation a channel of (N, 3, R, R) uint8, scaled to 0..1.

    Sums of whole numbers, so the order of summation changes no bit.
    """
    total, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), CHUNK):
        values = images[start : start + CHUNK].astype(np.float64)
        total += values.sum(axis=(0, 2, 3))
        squares += np.square(values, out=values).sum(axis=(0, 2, 3))
    count = max(images[:, 0].size, 1)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))  # images of one colour
    return PixelScaling(mean=_three(mean / 255), std=_three(deviation / 255))


def _three(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


def _write(listing: Listing, resolution: int, folder: Path) -> None:
    images = np.zeros((len(listing), 3, resolution, resolution), dtype=np.uint8)

    def decode(index: int) -> None:
        pixels = read_image(listing.root / listing.names[index], resolution, whole)
        images[index] = pixels.transpose(2, 0, 1)

    broken = unreadable(len(listing), decode)
    if broken:
        images = np.delete(images, broken, axis=0)
    with (folder / IMAGES).open("wb") as stream:
        np.save(stream, images, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    mean, std = moments(images)
    facts = {"broken": broken, "mean": mean, "std": std}
    write_text(folder / FACTS, json.dumps(facts))


def _load(folder: Path, shape: tuple[int, ...]) -> Decoded | None:
    """What was kept, mapped so that processes share its memory; None if it is damaged."""
    try:
        facts: Any = parse_json((folder / FACTS).read_text(encoding="utf-8"))
        broken = tuple(int(index) for index in facts["broken"])
        mode: Literal["c"] | None = "c" if len(broken) < shape[0] else None
        images = np.load(folder / IMAGES, mmap_mode=mode, allow_pickle=False)
        known = PixelScaling(mean=_three(facts["mean"]), std=_three(facts["std"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if images.dtype != np.uint8 or images.shape != (shape[0] - len(broken), *shape[1:]):
        return None
    return Decoded(images=images, broken=broken, normalisation=known)
