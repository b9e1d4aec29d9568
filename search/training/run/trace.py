"""The trace: one JSON line an epoch and phase, after one line that names the schema."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search.errors import StorageError, UsageError

TRACE_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """Numbers of one phase of one epoch.

    Losses are means over `images`, `latency_us` the mean of the steps' latency
    term; `seconds` and `images_per_s` are of the phase, `memory_mb` (MiB) is
    the most held until its end. `progress` is the method's own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    epoch: int
    phase: str
    loss: float
    cross_entropy: float
    accuracy: float
    images: int
    images_per_s: float
    seconds: float
    memory_mb: float
    latency_us: float | None = None
    progress: Mapping[str, float | None] = field(default_factory=dict)


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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the trace {path}: {error}") from error
    _check_header(lines[0] if lines else "", path)
    try:
        return tuple(_LINE.validate_json(text) for text in lines[1:])
    except ValidationError as error:
        raise UsageError(f"{path} is a damaged trace: {error}") from error


def _check_header(text: str, path: Path) -> None:
    try:
        header = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not a trace.") from error
    version = header.get("schema_version") if isinstance(header, dict) else None
    if not isinstance(version, int) or header.get("kind") != "trace":
        raise UsageError(f"{path} is not a trace.")
    if version > TRACE_SCHEMA:
        raise UsageError(
            f"{path} has schema {version}, newer than {TRACE_SCHEMA}.", "Update the kit."
        )
