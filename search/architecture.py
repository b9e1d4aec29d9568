"""Architecture: a whole network as its operators, and its file format.

An architecture is complete: absolute channels, resolution and classes, no
reference to a space or a table. Its JSON file lists operator keys in order of
execution, so what is trained, timed and shipped is one list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from search.documents import parse_document, read_text
from search.errors import UsageError
from search.files import write_text
from search.operators.counts import count, memory_bytes
from search.operators.spec import OperatorSpec, parse_key

ARCHITECTURE_SCHEMA = 1
MOST_OPERATORS = 10_000
MOST_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network: its operators from the image to the class scores.

    Raises:
        UsageError: Neighbouring operators do not fit each other.
    """

    name: str
    operators: tuple[OperatorSpec, ...]
    space: str | None = None

    def __post_init__(self) -> None:
        if not self.operators:
            raise UsageError(f"The architecture {self.name!r} has no operators.")
        for before, after in zip(self.operators, self.operators[1:], strict=False):
            if _output_of(before) != _input_of(after):
                raise UsageError(
                    f"In {self.name!r}, {after.key} cannot follow {before.key}: "
                    "channels, size, batch or dtype differ."
                )

    @property
    def resolution(self) -> int:
        """Side of the square input image."""
        return self.operators[0].height

    @property
    def classes(self) -> int:
        """Width of the last operator."""
        return self.operators[-1].out_channels

    @property
    def dtype(self) -> str:
        """Number format of all operators."""
        return self.operators[0].dtype

    @property
    def batch(self) -> int:
        """Images a call."""
        return self.operators[0].batch

    @property
    def flops(self) -> int:
        """Multiply-adds of one forward call."""
        return sum(count(operator).flops for operator in self.operators)

    @property
    def params(self) -> int:
        """Trainable parameters, batch norm included."""
        return sum(count(operator).params for operator in self.operators)

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights and of all activations of one call, none overwritten."""
        return sum(memory_bytes(operator) for operator in self.operators)

    def with_dtype(self, dtype: str) -> "Architecture":
        """The same network in another number format."""
        return Architecture(
            name=self.name,
            operators=tuple(operator.with_dtype(dtype) for operator in self.operators),
            space=self.space,
        )

    def with_batch(self, batch: int) -> "Architecture":
        """The same network on so many images a call.

        Raises:
            UsageError: Below 1, or more than `MOST_BATCH`.
        """
        require_batch(batch)
        return Architecture(
            name=self.name,
            operators=tuple(operator.with_batch(batch) for operator in self.operators),
            space=self.space if batch == self.batch else None,
        )


def require_batch(batch: int) -> None:
    """Refuse a number of images a call that means nothing.

    Raises:
        UsageError: Below 1, or more than `MOST_BATCH`.
    """
    if not 1 <= batch <= MOST_BATCH:
        raise UsageError(
            f"{batch} images a call mean nothing: --batch is 1 to {MOST_BATCH}.",
            "Larger ones fill the memory of a device long before they gain speed.",
        )


def _output_of(spec: OperatorSpec) -> tuple[object, ...]:
    channels = spec.in_channels if spec.kind == "skip" else spec.out_channels
    return channels, spec.out_height, spec.out_width, spec.batch, spec.dtype


def _input_of(spec: OperatorSpec) -> tuple[object, ...]:
    return spec.in_channels, spec.height, spec.width, spec.batch, spec.dtype


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1]
    name: str
    space: str | None = None
    operators: Annotated[list[str], Field(max_length=MOST_OPERATORS)]


def dump_architecture(architecture: Architecture) -> str:
    """The architecture as the text of its JSON file."""
    content = _File(
        schema_version=1,
        name=architecture.name,
        space=architecture.space,
        operators=[operator.key for operator in architecture.operators],
    )
    return content.model_dump_json(indent=2) + "\n"


def parse_architecture(text: str, origin: str = "the text") -> Architecture:
    """Read an architecture from JSON text.

    Raises:
        UsageError: Not an architecture, or of a newer schema.
    """
    content = parse_document(
        text, _File, newest=ARCHITECTURE_SCHEMA, origin=origin, what="an architecture file"
    )
    return Architecture(
        name=content.name, operators=parse_keys(content.operators), space=content.space
    )


def parse_keys(keys: Sequence[str]) -> tuple[OperatorSpec, ...]:
    """Parse a list of operator keys."""
    return tuple(parse_key(key) for key in keys)


def read_architecture(path: Path) -> Architecture:
    """Read an architecture file.

    Raises:
        UsageError: The file cannot be read or is not an architecture.
    """
    return parse_architecture(read_text(path), str(path))


def write_architecture(architecture: Architecture, path: Path) -> None:
    """Write the file atomically."""
    write_text(path, dump_architecture(architecture))
