"""Inputs and outputs of a model: names, shapes, dtypes, and values for them."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search.errors import UsageError

Array = npt.NDArray[Any]
# As numpy spells them; what every runner here can be handed.
DTYPES = (
    *("float32", "float16", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8"),
)
_MOST_CASES = 10_000
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output: a dimension that is no number is not known before the call.

    `order` is the memory order (outermost dimension first); None is that of `shape`.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    order: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        # Names stand in messages, cards and samples.
        if not self.name.isprintable() or not 0 < len(self.name) <= _LONGEST_NAME:
            raise UsageError(
                f"An input or output is named {self.name[:40]!r}.",
                f"Export it with printable names of {_LONGEST_NAME} characters at most.",
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, where all of it is known.

        Raises:
            UsageError: It is not.
        """
        if not self.is_static:
            raise UsageError(f"The shape of {self.name} is not known: {self.words}.")
        return tuple(int(size) for size in self.shape)

    @property
    def is_static(self) -> bool:
        """Whether every dimension is a number."""
        return all(isinstance(size, int) for size in self.shape)

    @property
    def words(self) -> str:
        """Name, dtype and shape as options and messages spell them."""
        return f"{self.name} {self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}"

    @property
    def nbytes(self) -> int:
        """Size of one value in memory."""
        return prod(self.sizes) * np.dtype(self.dtype).itemsize

    def content(self) -> dict[str, object]:
        """As JSON types."""
        order = None if self.order is None else list(self.order)
        shape = list(self.sizes)
        return {"name": self.name, "shape": shape, "dtype": self.dtype, "memory_order": order}

    def to_bytes(self, value: Array) -> bytes:
        """A value as a tensor file holds it: little-endian, in memory order."""
        ordered = value if self.order is None else value.transpose(self.order)
        return ordered.astype(np.dtype(self.dtype).newbyteorder("<")).tobytes()

    def from_bytes(self, content: bytes) -> Array:
        """The value that a tensor file holds."""
        stored = np.frombuffer(content, np.dtype(self.dtype).newbyteorder("<"))
        if self.order is None:
            return stored.reshape(self.sizes)
        lying = stored.reshape([self.sizes[dimension] for dimension in self.order])
        return lying.transpose(np.argsort(self.order))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One call: the value of each input, and what the source answers (none: not known)."""

    inputs: tuple[Array, ...]
    expected: tuple[Array, ...] = ()


# --- shapes


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input from `name=1x3x224x224`; without a name for the only input ("").

    Raises:
        UsageError: Another spelling, or an input twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not re.fullmatch(r"\d{1,9}(x\d{1,9})*|scalar", sizes):
            raise UsageError(
                f"--shape {text} is not a shape.",
                "Spell it name=1x3x224x224, a number a dimension.",
            )
        if name in shapes:
            raise UsageError(f"--shape names {name or 'the input'} twice.")
        shapes[name] = () if sizes == "scalar" else tuple(map(int, sizes.split("x")))
    return shapes


def pin_shapes(
    specs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[TensorSpec, ...]:
    """The inputs with the shapes that were asked for; every dimension is then a number.

    Raises:
        UsageError: An unknown input, another rank, a fixed dimension that differs, or
            dimensions that are still not known.
    """
    named = dict(shapes)
    if "" in named:
        if len(specs) != 1:
            raise UsageError(
                f"The model has {len(specs)} inputs, and --shape names none.", _inputs_words(specs)
            )
        named[specs[0].name] = named.pop("")
    unknown = [name for name in named if name not in {spec.name for spec in specs}]
    if unknown:
        raise UsageError(f"The model has no input {unknown[0]!r}.", _inputs_words(specs))
    pinned = tuple(_pinned(spec, named.get(spec.name)) for spec in specs)
    open_ones = [spec for spec in pinned if not spec.is_static]
    if open_ones:
        example = "x".join("N" if isinstance(d, str) else str(d) for d in open_ones[0].shape)
        raise UsageError(
            f"Dimensions of the model's inputs are not fixed: "
            f"{', '.join(spec.words for spec in open_ones)}.",
            f"Fix them, a number for each N: --shape {open_ones[0].name}={example}.",
        )
    return pinned


def _pinned(spec: TensorSpec, shape: tuple[int, ...] | None) -> TensorSpec:
    if shape is None:
        return spec
    fits = len(shape) == len(spec.shape) and all(
        isinstance(old, str) or old == new for old, new in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise UsageError(
            f"The input {spec.words} cannot have the shape {'x'.join(map(str, shape))}.",
            "Only dimensions without a number can be chosen; export the model for that shape.",
        )
    return replace(spec, shape=shape)


def _inputs_words(specs: Sequence[TensorSpec]) -> str:
    return f"Its inputs: {', '.join(spec.words for spec in specs)}."


# --- values


def random_values(specs: Sequence[TensorSpec], seed: int) -> tuple[Array, ...]:
    """Seeded values: normal floats; integers are 0 or 1, so that they are valid as indices."""
    generator = np.random.default_rng(seed)
    values: list[Array] = []
    for spec in specs:
        if spec.dtype.startswith("float"):
            values.append(generator.standard_normal(spec.sizes).astype(spec.dtype))
        else:
            values.append(generator.integers(0, 2, spec.sizes).astype(spec.dtype))
    return tuple(values)


def read_values(path: Path, specs: Sequence[TensorSpec]) -> list[tuple[Array, ...]]:
    """Values of all inputs from a .npz file, by name; a first dimension more holds several.

    Raises:
        UsageError: Not such a file, an input that is missing or unknown, or another shape
            or dtype.
    """
    arrays = _read_npz(path)
    strange = [name for name in arrays if name not in {spec.name for spec in specs}]
    missing = [spec.name for spec in specs if spec.name not in arrays]
    if strange or missing:
        what = f"has no {missing[0]!r}" if missing else f"has {strange[0]!r}, which is no input"
        raise UsageError(f"{path} {what}.", _inputs_words(specs))
    columns = [_cases_of(path, spec, arrays[spec.name]) for spec in specs]
    numbers = {len(column) for column in columns}
    if len(numbers) != 1 or not 0 < len(columns[0]) <= _MOST_CASES:
        raise UsageError(
            f"{path} holds {' and '.join(map(str, sorted(numbers)))} values of the inputs.",
            f"Give as many of each, {_MOST_CASES} at most.",
        )
    return list(zip(*columns, strict=True))


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path} does not hold inputs by name: {error}.",
            "Write it with numpy: numpy.savez(FILE, name=array).",
        ) from error


def _cases_of(path: Path, spec: TensorSpec, array: Array) -> list[Array]:
    if array.dtype != np.dtype(spec.dtype):
        raise UsageError(
            f"{path} holds {spec.name} as {array.dtype}, the model takes {spec.dtype}.",
            f"Convert it: array.astype('{spec.dtype}').",
        )
    if array.shape == spec.sizes:
        cases = [array]
    elif array.shape[1:] == spec.sizes:
        cases = list(array)
    else:
        raise UsageError(
            f"{path} holds {spec.name} of the shape {'x'.join(map(str, array.shape))}, "
            f"the model takes {'x'.join(map(str, spec.shape))}.",
            "Give values of the model's shape, or several of them along a first dimension.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"{path} holds values of {spec.name} that are not finite.")
    return cases
