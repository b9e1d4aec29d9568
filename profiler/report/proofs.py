"""Proofs of deployments on the page: a bar an operator, the rest, and what is beside time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from deploy.verification.breakdown import Footprint, MemoryPrediction, Part, by_kind
from deploy.verification.details import footprint_facts
from search.documents import parse_document, read_text
from search.errors import UsageError

_SCHEMA = 1
_MOST_BARS = 200
_Count = Annotated[int, Field(ge=0, le=10**15)]
_Us = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]


class _Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Part(_Loose):
    name: Annotated[str, Field(max_length=4096)]
    where: Annotated[str, Field(max_length=200)]
    us: _Us


class _Profile(_Loose):
    source: str
    runtime: str | None = None
    calls: int = 0
    whole_us: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
    total_us: Annotated[float | None, Field(gt=0, le=1e12, allow_inf_nan=False)] = None
    rest_us: _Us
    tracer_us: _Us | None = None
    parts: Annotated[list[_Part], Field(max_length=100_000)]
    notes: list[str] = []


class _Footprint(_Loose):
    file_bytes: _Count
    load_us: _Us | None = None
    first_us: _Us | None = None
    planned_bytes: _Count | None = None
    peak_rss_kb: _Count | None = None
    base_rss_kb: _Count | None = None


class _MemoryPrediction(_Loose):
    table: Annotated[str, Field(max_length=4096)]
    value_kb: _Us
    low_kb: _Us
    high_kb: _Us
    measured_kb: int | None = None


class _Proof(_Loose):
    device: str
    source: str = "measured"
    backend: str
    profile: _Profile | None = None
    footprint: _Footprint | None = None
    memory_prediction: _MemoryPrediction | None = None


class _Network(_Loose):
    name: str
    dtype: str


class _File(_Loose):
    schema_version: Literal[1]
    network: _Network
    proof: _Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofBar:
    """One bar: microseconds, their share of the whole, and the bar's length in percent."""

    name: str
    where: str
    us: float
    share: float
    length: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofChart:
    """A network's time by operator in order of execution, and by kind, the longest first."""

    title: str
    facts: str
    whole_us: float
    bars: tuple[ProofBar, ...]
    kinds: tuple[ProofBar, ...]
    left_out: int
    notes: tuple[str, ...]
    # What the network needs beside its time: name and text; without a name one goes on.
    needs: tuple[tuple[str, str], ...] = ()


def read_proof(path: Path) -> ProofChart:
    """The chart of a `.deploy.json` that was written with --profile.

    Raises:
        UsageError: It cannot be read, or tells no times of operators.
    """
    file = parse_document(
        read_text(path), _File, newest=_SCHEMA, origin=str(path), what="a record of deploy"
    )
    profile = file.proof.profile if file.proof else None
    if file.proof is None or profile is None:
        raise UsageError(
            f"{path} tells no times of operators.",
            "Write it with python -m deploy NET --device D --profile -o FOLDER.",
        )
    parts = [Part(name=one.name, us=one.us, where=one.where) for one in profile.parts]
    rest = Part(name="boundary and dispatch", us=profile.rest_us, where="rest")
    by = f"{profile.calls} calls traced by {profile.runtime}" if profile.runtime else "by rows"
    if profile.tracer_us is not None:
        by += f", which costs {profile.tracer_us:+.1f} us a call"
    where = {part.name.partition(" #")[0]: part.where for part in parts}
    kinds = [
        Part(name=f"{name} x{count}" if count > 1 else name, us=us, where=where[name])
        for name, count, us in by_kind(parts)
    ]
    return ProofChart(
        title=f"{file.network.name} {file.network.dtype} on {file.proof.device} "
        f"({file.proof.backend}, {file.proof.source})",
        facts=f"{profile.whole_us / 1e3:.3f} ms a call; {by}",
        whole_us=profile.whole_us,
        bars=_bars([*parts[:_MOST_BARS], rest], profile.total_us or profile.whole_us),
        kinds=_bars([*kinds[:_MOST_BARS], rest], profile.total_us or profile.whole_us),
        left_out=max(0, len(parts) - _MOST_BARS),
        notes=tuple(profile.notes),
        needs=_needs(file.proof),
    )


def _needs(proof: _Proof) -> tuple[tuple[str, str], ...]:
    if proof.footprint is None:
        return ()
    predicted = proof.memory_prediction
    return tuple(
        footprint_facts(
            Footprint(**proof.footprint.model_dump()),
            None if predicted is None else MemoryPrediction(**predicted.model_dump()),
        )
    )


def _bars(parts: list[Part], total_us: float) -> tuple[ProofBar, ...]:
    longest = max(max(part.us for part in parts), 1e-9)
    return tuple(
        ProofBar(
            name=part.name,
            where=part.where,
            us=part.us,
            share=part.us / total_us,
            length=max(0.0, 100 * part.us / longest),
        )
        for part in parts
    )
