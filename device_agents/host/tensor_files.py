"""Raw tensor files for the Python runner: a program run on every image of one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search.files import write_bytes

Floats = npt.NDArray[np.float32]


class TensorFileError(Exception):
    """A tensor file that cannot be used; `kind` is that of the failure record."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class TensorIO:
    """How a loaded program takes its one float input and gives its outputs.

    `put` makes an image what the next calls read; `outputs` calls once and
    returns each output as a flat array in memory order.
    """

    size: int
    put: Callable[[Floats], None]
    outputs: Callable[[], list[npt.NDArray[Any]]]


def infer(feed: TensorIO, source: str | None, target: str | None) -> None:
    """Run on each image of `source`, write the outputs to `target`; the first image stays.

    Raises:
        TensorFileError: A file cannot be read or written, or has another size.
    """
    images = None if source is None else _read(source, feed.size)
    if images is not None:
        feed.put(images[0])
    if target is None:
        return
    parts = [array.tobytes() for array in feed.outputs()]
    for image in () if images is None else images[1:]:
        feed.put(image)
        parts += [array.tobytes() for array in feed.outputs()]
    if images is not None:
        feed.put(images[0])
    if not Path(target).parent.is_dir():  # as the native runner, which makes no folders
        raise TensorFileError("output", "write: No such file or directory")
    try:
        write_bytes(Path(target), b"".join(parts))
    except OSError as error:
        raise TensorFileError("output", f"write: {error.strerror}") from error


def _read(source: str, size: int) -> Floats:
    """Images as rows."""
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise TensorFileError("input", f"open: {error.strerror}") from error
    if not content or len(content) % (4 * size):
        raise TensorFileError(
            "input", f"the file has {len(content)} bytes, the inputs {4 * size} or a multiple"
        )
    return np.frombuffer(content, np.dtype("<f4")).astype(np.float32).reshape(-1, size)
