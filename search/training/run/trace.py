"""The trace: one JSON line an epoch and phase, after one line that names the schema."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from search.documents import parse_json, read_text, shortened, validate_json
from search.errors import StorageError, UsageError
from search.table.values import Count, Finite

TRACE_SCHEMA = 1
MOST_EPOCHS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """Numbers of one phase of one epoch.

    Losses are means over `images`, `latency_us` the mean of the steps' latency
    term; `seconds` and `images_per_s` are of the phase, `memory_mb` (MiB) is
    the most held until its end. `progress` is the method's own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    epoch: Annotated[int, Field(ge=0, le=MOST_EPOCHS)]
    phase: str
    loss: Finite
    cross_entropy: Finite
    accuracy: Finite
    images: Count
    images_per_s: Finite
    seconds: Finite
    memory_mb: Finite
    latency_us: Finite | None = None
    progress: Mapping[str, Finite | None] = field(default_factory=dict)


_LINE = TypeAdapter(TraceLine)


class TraceFile:
    """Appends whole lines, each flushed to disk before the next step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, algorithm: str) -> None:
        """Start a new file."""
        header = {"kind": "trace", "schema_version": TRACE_SCHEMA, "algorithm": algorithm}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._append(json.dumps(header))

    def append(self, line: TraceLine) -> None:
        """Write one line in one call, so that it is whole or absent.

        Raises:
            StorageError: The disk is full or the file cannot be written.
        """
        content = asdict(line)
        content["progress"] = {
            name: None if value is None or not math.isfinite(value) else value
            for name, value in line.progress.items()
        }
        self._append(json.dumps(content, allow_nan=False))

    def size(self) -> int:
        """Bytes written so far; 0 when there is no file."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> bool:
        """Forget what was written after the first `size` bytes; False when they are gone."""
        if self.size() < size:
            return False
        os.truncate(self.path, size)
        return True

    def _append(self, text: str) -> None:
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, text.encode() + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StorageError(f"Cannot write the trace {self.path}: {error}") from error


def read_trace(path: Path) -> tuple[TraceLine, ...]:
    """All whole lines of a trace; a line cut off at the end is left out.

    Raises:
        UsageError: Not a trace, of a newer schema, or damaged inside.
    """
    lines = read_text(path).split("\n")[:-1]
    _check_header(lines[0] if lines else "", path)
    try:
        return tuple(validate_json(text, _LINE) for text in lines[1:])
    except ValueError as error:
        raise UsageError(f"{path} is a damaged trace: {str(error).rstrip('.')}.") from error


def _check_header(text: str, path: Path) -> None:
    try:
        header = parse_json(text)
    except ValueError as error:
        raise UsageError(f"{path} is not a trace.") from error
    version = header.get("schema_version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(version) is not int or header.get("kind") != "trace":
        raise UsageError(f"{path} is not a trace.")
    if version > TRACE_SCHEMA:
        raise UsageError(
            f"{path} has schema {shortened(version)}, newer than {TRACE_SCHEMA}.", "Update the kit."
        )
