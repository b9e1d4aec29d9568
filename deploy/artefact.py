"""Artefact: one checked file for one runtime, cached by content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from search.cache import cache_root
from search.files import sha256_file, write_bytes, write_text
from search.operators.spec import OperatorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """What is to become a file: a network, or a single operator as one.

    `name` is for people (an operator's key, an architecture's name); two
    subjects with equal operators, weights and calibration share one artefact.
    `calibration` is a .npy file of real images (`deploy.exporters.calibration`): a
    quantising exporter observes them, and the check runs on the first one.
    With `copies` the one operator is meant that many times in a row, as a
    chain (`deploy.chains.programs`), or only this `part` of a chain's first link.
    """

    name: str
    operators: tuple[OperatorSpec, ...]
    weights: Path | None = None
    calibration: Path | None = None
    copies: int | None = None
    part: Literal["links", "operator", "restoring"] = "links"

    @classmethod
    def of(cls, operator: OperatorSpec) -> "ExportSpec":
        """One operator as a subject."""
        return cls(name=operator.key, operators=(operator,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file that passed its check: `relative_error` against the torch module."""

    path: Path
    sha256: str
    exporter: str
    relative_error: float
    size_bytes: int
    build_seconds: float


class _Sidecar(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: str
    exporter: str
    subject: list[str]
    toolchain: dict[str, str]
    relative_error: float
    size_bytes: int
    build_seconds: float


def digest(subject: ExportSpec, exporter: str, toolchain: Mapping[str, str]) -> str:
    """Content address: operators, weights, calibration, exporter, every tool's version."""
    content: dict[str, object] = {
        "operators": [operator.key for operator in subject.operators],
        "weights": sha256_file(subject.weights) if subject.weights else None,
        "exporter": exporter,
        "toolchain": dict(sorted(toolchain.items())),
    }
    if subject.calibration:
        content["calibration"] = sha256_file(subject.calibration)
    if subject.copies is not None:
        content["copies"] = subject.copies
    if subject.part != "links":
        content["part"] = subject.part
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def cached_path(exporter: str, suffix: str, address: str) -> Path:
    """Where the artefact of this address lives, whether or not it exists."""
    return cache_root() / "artefacts" / exporter / address[:2] / f"{address}{suffix}"


def find(path: Path) -> Artefact | None:
    """The finished artefact at this path; None when absent or damaged."""
    sidecar = path.with_suffix(path.suffix + ".json")
    try:
        notes = _Sidecar.model_validate_json(sidecar.read_text())
        if path.stat().st_size != notes.size_bytes or sha256_file(path) != notes.sha256:
            return None
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return Artefact(
        path=path,
        sha256=notes.sha256,
        exporter=notes.exporter,
        relative_error=notes.relative_error,
        size_bytes=notes.size_bytes,
        build_seconds=notes.build_seconds,
    )


def store(
    path: Path,
    content: bytes,
    *,
    exporter: str,
    subject: Sequence[str],
    toolchain: Mapping[str, str],
    relative_error: float,
    build_seconds: float,
) -> Artefact:
    """Write the file, then the sidecar that declares it finished."""
    write_bytes(path, content)
    notes = _Sidecar(
        sha256=hashlib.sha256(content).hexdigest(),
        exporter=exporter,
        subject=list(subject),
        toolchain=dict(toolchain),
        relative_error=relative_error,
        size_bytes=len(content),
        build_seconds=build_seconds,
    )
    write_text(path.with_suffix(path.suffix + ".json"), notes.model_dump_json(indent=1))
    found = find(path)
    if found is None:
        raise OSError(f"{path} changed while it was being written")
    return found
