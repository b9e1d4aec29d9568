"""Raw tensor files of the Python runner: inputs read, outputs written."""

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
    """Access to a loaded program's one float input and its outputs.

    `size` is the number of floats of the input; `put` makes an image the input
    of the next calls; `outputs` calls once and returns each output as a flat
    array in memory order.
    """

    size: int
    put: Callable[[Floats], None]
    outputs: Callable[[], list[npt.NDArray[Any]]]


def infer(tensors: TensorIO, source: str | None, target: str | None) -> None:
    """Run on each image of `source`, write the outputs to `target`; the first image
    stays the input.

    Raises:
        TensorFileError: A file cannot be read or written, or has another size.
    """
    images = None if source is None else _read(source, tensors.size)
    if images is not None:
        tensors.put(images[0])
    if target is None:
        return
    parts = [array.tobytes() for array in tensors.outputs()]
    for image in () if images is None else images[1:]:
        tensors.put(image)
        parts += [array.tobytes() for array in tensors.outputs()]
    if images is not None:
        tensors.put(images[0])
    if not Path(target).parent.is_dir():  # the native runner creates no folders either
        raise TensorFileError("output", "write: No such file or directory")
    try:
        write_bytes(Path(target), b"".join(parts))
    except OSError as error:
        raise TensorFileError("output", f"write: {error.strerror}") from error


def _read(source: str, size: int) -> Floats:
    """The images of a file, one a row."""
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise TensorFileError("input", f"open: {error.strerror}") from error
    if not content or len(content) % (4 * size):
        raise TensorFileError(
            "input", f"the file has {len(content)} bytes, the inputs {4 * size} or a multiple"
        )
    return np.frombuffer(content, np.dtype("<f4")).astype(np.float32).reshape(-1, size)
