"""Raw tensor files of the Python runner: inputs read, outputs written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search.files import write_bytes

Array = npt.NDArray[Any]


class TensorFileError(Exception):
    """A tensor file that cannot be used; `kind` is that of the failure record."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class TensorIO:
    """Access to a loaded program's inputs and outputs.

    `size` is the number of bytes of one set of inputs; `put` makes a set (the inputs one
    after the other, each in memory order) the input of the next calls; `outputs` calls once
    and returns each output as a flat array in memory order.
    """

    size: int
    put: Callable[[bytes], None]
    outputs: Callable[[], list[Array]]


def infer(tensors: TensorIO, source: str | None, target: str | None) -> None:
    """Run on each set of inputs of `source`, write the outputs to `target`; the first set
    stays the input.

    Raises:
        TensorFileError: A file cannot be read or written, or has another size.
    """
    sets = None if source is None else _read(source, tensors.size)
    if sets is not None:
        tensors.put(sets[0])
    if target is None:
        return
    parts = [array.tobytes() for array in tensors.outputs()]
    for one in () if sets is None else sets[1:]:
        tensors.put(one)
        parts += [array.tobytes() for array in tensors.outputs()]
    if sets is not None:
        tensors.put(sets[0])
    if not Path(target).parent.is_dir():  # the native runner creates no folders either
        raise TensorFileError("output", "write: No such file or directory")
    try:
        write_bytes(Path(target), b"".join(parts))
    except OSError as error:
        raise TensorFileError("output", f"write: {error.strerror}") from error


def copy_set(content: bytes, arrays: Sequence[Array]) -> None:
    """Write one set of inputs into the arrays that hold them."""
    offset = 0
    for array in arrays:
        part = np.frombuffer(content, array.dtype, array.size, offset)
        np.copyto(array, part.reshape(array.shape))
        offset += array.nbytes


def seeded_array(shape: Sequence[int], dtype: str, generator: np.random.Generator) -> Array:
    """Values as the native runner draws them: floats in [-1, 1); 8 and 16 bits over their
    range; booleans and wider integers 0 or 1, which are valid as indices."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return generator.uniform(-1, 1, shape).astype(kind)
    if kind.kind == "b" or kind.itemsize > 2:
        return generator.integers(0, 2, shape).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)


def _read(source: str, size: int) -> list[bytes]:
    """The sets of inputs of a file."""
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise TensorFileError("input", f"open: {error.strerror}") from error
    if not size:
        if content:
            raise TensorFileError("input", f"the file has {len(content)} bytes, the inputs 0")
        return [b""]
    if not content or len(content) % size:
        raise TensorFileError(
            "input", f"the file has {len(content)} bytes, the inputs {size} or a multiple"
        )
    return [content[start : start + size] for start in range(0, len(content), size)]
