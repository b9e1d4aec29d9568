"""Artefacts: checked files for one runtime each, cached by content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from search.cache import cache_root
from search.files import sha256_bytes, sha256_file, write_bytes, write_text
from search.operators.spec import OperatorSpec
from search.table.values import Count, NotNegative

# 2 adds the seal.
_NOTES_SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """Everything that decides a file's content: operators, weights, calibration images.

    `name` is human-readable (an operator's key, an architecture's name) and
    not part of the content: two specs with equal operators, weights and
    calibration share one artefact. `calibration` is a .npy file of real images
    (`deploy.exporters.calibration`), which a quantising exporter observes; the
    check runs on the first one. With `copies` the single operator is repeated
    that many times in a row, as a chain (`deploy.chains.programs`); `part`
    limits that to a part of the chain's first link.
    """

    name: str
    operators: tuple[OperatorSpec, ...]
    weights: Path | None = None
    calibration: Path | None = None
    copies: int | None = None
    part: Literal["links", "operator", "restoring"] = "links"

    @classmethod
    def of(cls, operator: OperatorSpec) -> "ExportSpec":
        """The spec of a single operator."""
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
    """The JSON file beside an artefact; `subject` lists the keys of its operators."""

    model_config = ConfigDict(extra="forbid")

    sha256: str
    exporter: str
    subject: list[str]
    toolchain: dict[str, str]
    relative_error: NotNegative
    size_bytes: Count
    build_seconds: NotNegative
    seal: str = ""

    @property
    def own_seal(self) -> str:
        """Hash of everything else that it says: a flipped bit in a number is noticed too."""
        return sha256_bytes(self.model_dump_json(exclude={"seal"}).encode())


def digest(spec: ExportSpec, exporter: str, toolchain: Mapping[str, str]) -> str:
    """Content address: operators, weights, calibration, exporter, every tool's version."""
    content: dict[str, object] = {
        # Kits whose notes differ do not share an address, or each would rebuild the other's.
        "notes": _NOTES_SCHEMA,
        "operators": [operator.key for operator in spec.operators],
        "weights": sha256_file(spec.weights) if spec.weights else None,
        "exporter": exporter,
        "toolchain": dict(sorted(toolchain.items())),
    }
    if spec.calibration:
        content["calibration"] = sha256_file(spec.calibration)
    if spec.copies is not None:
        content["copies"] = spec.copies
    if spec.part != "links":
        content["part"] = spec.part
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def cached_path(exporter: str, suffix: str, address: str) -> Path:
    """Where the artefact of this address lives, whether or not it exists."""
    return cache_root() / "artefacts" / exporter / address[:2] / f"{address}{suffix}"


def find_artefact(path: Path) -> Artefact | None:
    """The finished artefact at this path; None when absent or damaged."""
    try:
        sidecar = _Sidecar.model_validate_json(_sidecar_path(path).read_bytes())
        if sidecar.seal != sidecar.own_seal or path.stat().st_size != sidecar.size_bytes:
            return None
        if sha256_file(path) != sidecar.sha256:
            return None
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return Artefact(
        path=path,
        sha256=sidecar.sha256,
        exporter=sidecar.exporter,
        relative_error=sidecar.relative_error,
        size_bytes=sidecar.size_bytes,
        build_seconds=sidecar.build_seconds,
    )


def store(
    path: Path,
    content: bytes,
    *,
    exporter: str,
    operator_keys: Sequence[str],
    toolchain: Mapping[str, str],
    relative_error: float,
    build_seconds: float,
) -> Artefact:
    """Write the file, then the sidecar that declares it finished."""
    write_bytes(path, content)
    sidecar = _Sidecar(
        sha256=hashlib.sha256(content).hexdigest(),
        exporter=exporter,
        subject=list(operator_keys),
        toolchain=dict(toolchain),
        relative_error=relative_error,
        size_bytes=len(content),
        build_seconds=build_seconds,
    )
    sidecar = sidecar.model_copy(update={"seal": sidecar.own_seal})
    write_text(_sidecar_path(path), sidecar.model_dump_json(indent=1))
    artefact = find_artefact(path)
    if artefact is None:
        raise OSError(f"{path} changed while it was being written")
    return artefact


def _sidecar_path(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".json")
