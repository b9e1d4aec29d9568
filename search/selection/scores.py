"""Scores of the candidates of each layer, and their file.

A network's score is the sum of its candidates' scores, higher is better. A
search writes them (log-probabilities, measured losses), the exact selection
reads them together with any table's costs.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from search.documents import parse_document, read_text
from search.errors import UsageError
from search.files import write_text
from search.operators.words import space_label
from search.spaces.base import LayeredSpace
from search.spaces.classes import classes_of, space_with_classes
from search.spaces.registry import parse_space
from search.table.values import MOST_NUMBER, Finite

Array = npt.NDArray[np.float64]

SCORES_SCHEMA = 1
# A probability that underflowed is very small, but its candidate stays legal.
LEAST_PROBABILITY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Scores of the candidates of one space.

    `values` is layers x widest, higher is better, -inf where a candidate is
    not legal. `space` is the space's spec, `origin` states where the scores
    come from, as text.

    Raises:
        UsageError: Not a matrix, NaN or +inf in it, or a layer without any
            legal candidate.
    """

    values: Array
    space: str
    origin: str

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 2 or not values.size:
            raise UsageError(f"Scores of shape {values.shape} are not layers x candidates.")
        legal = np.abs(values[~np.isneginf(values)])
        if not (legal <= MOST_NUMBER).all():
            raise UsageError(
                f"Scores must be numbers up to {MOST_NUMBER:g}, or -inf where a candidate is not "
                "legal."
            )
        empty = np.flatnonzero(np.isneginf(values).all(axis=1))
        if empty.size:
            raise UsageError(f"Layer {empty[0]} has no candidate with a score.")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def require(self, space: LayeredSpace) -> None:
        """Make sure that these are scores of this space.

        Raises:
            UsageError: Another space, another number of layers, or a score
                where the space has no candidate.
        """
        if self.space != space.spec:
            raise UsageError(
                f"These scores belong to the space {space_label(self.space)}, "
                f"not to {space.label}.",
                "Use a table and scores of the same space.",
            )
        widths = [len(layer.choices) for layer in space.layers]
        if self.values.shape != (len(widths), max(widths)):
            raise UsageError(
                f"Scores of shape {self.values.shape} do not fit {space.label}: "
                f"{len(widths)} layers of at most {max(widths)} candidates."
            )
        beyond = np.arange(max(widths)) >= np.array(widths)[:, None]
        if np.isfinite(self.values[beyond]).any():
            raise UsageError(f"A score stands where {space.label} has no candidate.")


def from_probabilities(probabilities: npt.ArrayLike, space: LayeredSpace, origin: str) -> Scores:
    """Log-probabilities as scores: the best network is the most probable one.

    The layers of FBNet's distribution are independent (arXiv 1812.03443,
    equations 4 to 6), so the sum is the network's log-probability.

    Args:
        probabilities: Layers x widest; each row sums to 1 over its legal
            candidates; values after them are ignored.
        space: The space they were learnt on.
        origin: Where they come from, as text.

    Raises:
        UsageError: Another shape, or a row that is not a distribution.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    widths = np.array([len(layer.choices) for layer in space.layers])
    if given.shape != (len(widths), widths.max()):
        raise UsageError(
            f"Probabilities of shape {given.shape} do not fit {space.label}: "
            f"{len(widths)} layers of at most {widths.max()} candidates."
        )
    legal = np.arange(widths.max()) < widths[:, None]
    given = np.where(legal, given, 0.0)
    # Sums of float32 probabilities are off by a few 1e-7.
    if not (given >= 0).all() or not np.allclose(given.sum(axis=1), 1, rtol=0, atol=1e-4):
        raise UsageError("Probabilities must be at least 0 and sum to 1 in every layer.")
    values = np.where(legal, np.log(np.maximum(given, LEAST_PROBABILITY)), -np.inf)
    scores = Scores(values=values, space=space.spec, origin=origin)
    scores.require(space)
    return scores


# --- file --------------------------------------------------------------------


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1]
    space: str
    origin: str
    scores: list[list[Finite | None]]


def dump_scores(scores: Scores) -> str:
    """The scores as the text of their JSON file; null where not legal."""
    rows = [
        [None if math.isinf(value) else value for value in row] for row in scores.values.tolist()
    ]
    content = _File(schema_version=1, space=scores.space, origin=scores.origin, scores=rows)
    return content.model_dump_json(indent=1) + "\n"


def parse_scores(text: str, origin: str = "the text") -> Scores:
    """Read scores from JSON text.

    Raises:
        UsageError: Not scores, NaN or infinite values, or a newer schema.
    """
    content = parse_document(
        text, _File, newest=SCORES_SCHEMA, origin=origin, what="a file of scores"
    )
    return Scores(
        values=_matrix(content.scores, origin), space=content.space, origin=content.origin
    )


def _matrix(rows: Sequence[Sequence[float | None]], origin: str) -> Array:
    if len({len(row) for row in rows}) > 1:
        raise UsageError(f"{origin} is not a file of scores: its rows differ in length.")
    return np.array([[-math.inf if value is None else value for value in row] for row in rows])


def read_scores(path: Path, space: LayeredSpace) -> Scores:
    """Read the scores of this space.

    Raises:
        UsageError: The file cannot be read, is not a file of scores, or
            belongs to another space.
    """
    scores = parse_scores(read_text(path), str(path))
    scores.require(space)
    return scores


def read_scores_for(path: Path, space: LayeredSpace) -> Scores:
    """Read scores for this space, of it or of the same one in another dtype, batch or class count.

    Raises:
        UsageError: As `read_scores`.
    """
    return for_space(parse_scores(read_text(path), str(path)), space)


def for_space(scores: Scores, space: LayeredSpace) -> Scores:
    """The same scores for a table of another dtype, batch or class count.

    Quality is the network's own, and a search on some of the classes ranks networks for
    all of them (FBNet, arXiv 1812.03443, section 4.1).

    Raises:
        UsageError: Another space.
    """
    if scores.space != space.spec:
        own = space_with_classes(parse_space(scores.space), classes_of(space))
        if not same_choices(own, space):
            raise UsageError(
                f"These scores belong to the space {space_label(scores.space)}, "
                f"not to {space.label}.",
                _PART_POINTWISE
                if re.sub("-p[01]-", "-", scores.space) == re.sub("-p[01]-", "-", space.spec)
                else "Use a table and scores of the same space.",
            )
        scores = Scores(values=scores.values, space=space.spec, origin=scores.origin)
    scores.require(space)
    return scores


_PART_POINTWISE = (
    "They differ in the first 1x1 at expansion 1: p1 keeps it, p0 drops it. Measure a table with "
    "--keep-pointwise or --drop-pointwise, or search again."
)


def same_choices(one: LayeredSpace, other: LayeredSpace) -> bool:
    """Whether two spaces hold the same networks, whatever their dtype and batch."""
    return _shapes(one) == _shapes(other)


def _shapes(space: LayeredSpace) -> list[str]:
    """Names of all choices, and keys of all operators without batch and dtype, their last parts."""
    names = [f"{layer.name}={choice.name}" for layer in space.layers for choice in layer.choices]
    return [*names, *(operator.key.rsplit("_", 2)[0] for operator in space.operators)]


def write_scores(scores: Scores, path: Path) -> None:
    """Write the file atomically."""
    write_text(path, dump_scores(scores))
