"""Decoding of one image file of any format to RGB pixels of a given size."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
Box = tuple[float, float, float, float]

# EPS and others that start programs are not among them; phones' MPO counts as JPEG.
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "HEIF")
# Phones take photos of 108 and 200 megapixels. Of a JPEG no more detail is decoded than is
# needed; of the others all of it, at three bytes a pixel.
MOST_PIXELS, MOST_PIXELS_JPEG = 125_000_000, 256_000_000
CHUNK = 64
REDUCING_GAP = 2.0
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LACK_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


class Unreadable(Exception):
    """The file does not hold an image that can be used."""


def whole(size: Size) -> Box:
    """All of the image: its shape is not kept."""
    return 0, 0, size[0], size[1]


def central(size: Size) -> Box:
    """The middle square of 224/256 of the shorter side.

    What remains after the shorter side was resized to R * 256 / 224 and the
    centre of R x R cut out, taken in one step.
    """
    side = min(size) * 224 / 256
    return _middle(size, side)


def central_share(share: float) -> Callable[[Size], Box]:
    """The middle square of this share of the shorter side, which is at most 1."""
    return lambda size: _middle(size, min(size) * share)


def _middle(size: Size, side: float) -> Box:
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


def read_image(path: Path, resolution: int, area: Callable[[Size], Box]) -> Pixels:
    """The chosen area of an image, resized to (resolution, resolution, 3).

    Grey, palette, transparent (laid on white), CMYK and 16-bit images become
    RGB; the camera's orientation is undone after the area was cut.

    Args:
        path: The file.
        resolution: Pixels a side.
        area: From (width, height) to (left, top, right, bottom).

    Raises:
        Unreadable: Truncated, too large, not an image.
    """
    with _judging(), _opened(path) as image:
        return _decode(image, resolution, area)


def check_header(path: Path) -> None:
    """Look at a file without decoding it: type, size and, where it has some, checksums.

    Raises:
        Unreadable: Not an image, or too large.
    """
    with _judging(), _opened(path) as image:
        image.verify()


@contextlib.contextmanager
def _judging() -> Iterator[None]:
    """Turn what decoders raise on broken files into `Unreadable`; a lack of resources stays."""
    try:
        yield
    except (Unreadable, MemoryError):
        raise
    except Exception as error:
        if getattr(error, "errno", None) in LACK_OF_RESOURCES:
            raise
        raise Unreadable(str(error)) from error


@cache
def _formats() -> tuple[str, ...]:
    """Formats that this build of the library can open; with any other it fails on every file."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    # The library's own bound is lower, and warns; `_opened` has one a format.
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS_JPEG
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _opened(path: Path) -> Image.Image:
    image = Image.open(path, formats=_formats())
    most = MOST_PIXELS_JPEG if image.format in ("JPEG", "MPO") else MOST_PIXELS
    if image.width * image.height > most:
        image.close()
        raise Unreadable("more pixels than any photograph")
    return image


def _decode(image: Image.Image, resolution: int, area: Callable[[Size], Box]) -> Pixels:
    width, height = image.size
    box = area(image.size)
    # A JPEG decoder can leave out detail that would be averaged away.
    wanted = resolution * REDUCING_GAP
    image.draft(
        None, (ceil(width * wanted / (box[2] - box[0])), ceil(height * wanted / (box[3] - box[1])))
    )
    image.load()  # before anything that might swallow its complaint
    across, down = image.width / width, image.height / height
    right, bottom = min(box[2] * across, image.width), min(box[3] * down, image.height)
    scaled = (box[0] * across, box[1] * down, right, bottom)
    turn = TURNS.get(_orientation(image))
    small = to_rgb(image).resize(
        (resolution, resolution), Image.Resampling.BILINEAR, scaled, REDUCING_GAP
    )
    return np.asarray(small if turn is None else small.transpose(turn))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, OSError):
        return 1  # broken metadata of a good image


def to_rgb(image: Image.Image) -> Image.Image:
    """Three channels of 8 bits from any mode.

    Raises:
        Unreadable: Floating-point values that tell no brightness.
    """
    if image.mode == "F":
        return Image.fromarray(_brightness(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if image.mode != "I" or values.max(initial=0) > 255:
            values //= 256  # 16 bits
        return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _brightness(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Grey of 8 bits from floats: 0 to 1, 0 to 255, or 0 to 65535, whichever holds them all."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    scale = next((255 / top for top in (1.0, 255.0, 65535.0) if 0 <= low <= high <= top), None)
    if scale is None:  # NaN compares with nothing
        raise Unreadable(f"floating-point values from {low:g} to {high:g} are no brightness")
    return (values * scale + 0.5).astype(np.uint8)


def workers() -> int:
    """Threads for decoding: one a processor that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def unreadable(number: int, look: Callable[[int], None]) -> list[int]:
    """Numbers below `number` for which `look` raised Unreadable; looks in threads.

    Any other error ends it at once.
    """

    def failed(start: int) -> list[int]:
        return [index for index in range(start, min(start + CHUNK, number)) if not good(index)]

    def good(index: int) -> bool:
        try:
            look(index)
        except Unreadable:
            return False
        return True

    pool = ThreadPoolExecutor(workers(), thread_name_prefix="decoder")
    try:
        return [index for chunk in pool.map(failed, range(0, number, CHUNK)) for index in chunk]
    finally:
        pool.shutdown(cancel_futures=True)
