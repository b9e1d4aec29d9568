"""Pareto fronts and candidates of searches, read from the files that a search writes."""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from search.documents import parse_json, read_text, validate_json
from search.errors import UsageError
from search.pipeline.result import SearchResult
from search.table.values import Finite, NotNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A network of a front: predicted latency in ms, and the value that the search ranks it by."""

    name: str
    predicted_ms: float
    value: float
    low_ms: float | None = None
    high_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The points of one file, and the name of their value."""

    title: str
    value_name: str
    line: bool
    points: tuple[FrontPoint, ...]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")

    network: str
    predicted_ms: NotNegative
    low_ms: Finite | None = None
    high_ms: Finite | None = None
    score: Finite


class _FrontFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    table: str
    networks: tuple[_Row, ...]


def read_front(path: Path) -> Front:
    """A front of `search front -o`, or the candidates of a search's `.result.json`.

    Raises:
        UsageError: Neither.
    """
    text = read_text(path)
    try:
        content = parse_json(text)
        if isinstance(content, dict) and "candidates" in content:
            return _candidates(validate_json(text, TypeAdapter(SearchResult)))
        return _front(validate_json(text, TypeAdapter(_FrontFile)))
    except ValueError as error:
        raise UsageError(
            f"{path} is no front of a search: {str(error).rstrip('.')}.",
            "Name the front.json of `python -m search front -o DIR`, or a .result.json.",
        ) from error


def _front(file: _FrontFile) -> Front:
    points = tuple(
        FrontPoint(
            name=row.network,
            predicted_ms=row.predicted_ms,
            value=row.score,
            low_ms=row.low_ms,
            high_ms=row.high_ms,
        )
        for row in file.networks
    )
    return Front(title=f"front by {file.table}", value_name="score", line=True, points=points)


def _candidates(result: SearchResult) -> Front:
    if result.table_source == "none":
        raise UsageError(
            f"The search of {result.architecture} had no table, so that no latency is known.",
            "Name the result of a search with --table.",
        )
    points = tuple(
        FrontPoint(
            name=candidate.origin,
            predicted_ms=_ms(candidate.predicted_us),
            value=100 * candidate.accuracy,
            low_ms=_ms(candidate.low_us),
            high_ms=_ms(candidate.high_us),
        )
        for candidate in result.candidates
        if candidate.accuracy is not None
    )
    title = f"candidates of {result.algorithm}, by {result.table}"
    return Front(title=title, value_name="accuracy %", line=False, points=points)


def _ms(us: float | None) -> float:
    """Milliseconds of a latency that a result with a table always holds."""
    return math.nan if us is None else us / 1e3
