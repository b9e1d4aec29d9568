"""Scores and their file: read as written, refused when they do not fit."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import UsageError
from search.selection.scores import (
    LEAST_PROBABILITY,
    Scores,
    dump_scores,
    from_probabilities,
    parse_scores,
    read_scores,
    write_scores,
)
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space

INF = math.inf


def _legal(space: LayeredSpace) -> npt.NDArray[np.bool_]:
    widths = np.array([len(layer.choices) for layer in space.layers])
    return np.asarray(np.arange(widths.max()) < widths[:, None])


def _scores(space: LayeredSpace, seed: int = 0) -> Scores:
    legal = _legal(space)
    values = np.where(legal, np.random.default_rng(seed).normal(size=legal.shape), -INF)
    return Scores(values=values, space=space.spec, origin="made up")


@given(
    cells=st.lists(
        st.lists(
            st.one_of(st.floats(-1e15, 1e15), st.just(-INF)),
            min_size=3,
            max_size=3,
        ).filter(lambda row: max(row) > -INF),
        min_size=1,
        max_size=5,
    ),
    origin=st.text(),
)
@settings(max_examples=60, deadline=None)
def test_a_file_reads_back_to_the_last_digit(cells: list[list[float]], origin: str) -> None:
    scores = Scores(values=np.array(cells), space="any", origin=origin)
    again = parse_scores(dump_scores(scores))
    assert again.values.tolist() == scores.values.tolist()
    assert (again.space, again.origin) == ("any", origin)


def test_a_written_file_is_plain_json_and_reads_back(tmp_path: Path, mini: LayeredSpace) -> None:
    path, scores = tmp_path / "out" / "scores.json", _scores(mini)
    write_scores(scores, path)
    write_scores(scores, path)
    assert read_scores(path, mini).values.tolist() == scores.values.tolist()
    content = json.loads(path.read_text())
    assert content["schema_version"] == 1
    assert content["space"] == mini.spec
    assert sum(cell is None for row in content["scores"] for cell in row) == 3
    assert list(path.parent.iterdir()) == [path]


def test_scores_cannot_be_changed_afterwards(mini: LayeredSpace) -> None:
    given_values = _scores(mini).values.copy()
    scores = Scores(values=given_values, space=mini.spec, origin="made up")
    given_values[0, 0] = 99
    assert scores.values[0, 0] != 99
    with pytest.raises(ValueError, match="read-only"):
        scores.values[0, 0] = 1


# --- probabilities -------------------------------------------------------------


def test_probabilities_become_their_logarithms(mini: LayeredSpace) -> None:
    legal = _legal(mini)
    raw = np.where(legal, np.random.default_rng(0).uniform(0.1, 1, legal.shape), 0)
    theta = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    scores = from_probabilities(theta, mini, "theta")
    assert np.exp(scores.values[legal]) == pytest.approx(theta[legal].astype(float))
    assert np.isneginf(scores.values[~legal]).all()
    scores.require(mini)


def test_a_probability_that_underflowed_stays_legal(mini: LayeredSpace) -> None:
    theta = np.zeros(_legal(mini).shape)
    theta[:, 1] = 1.0
    values = from_probabilities(theta, mini, "theta").values
    assert values[0].tolist()[:2] == [math.log(LEAST_PROBABILITY), 0.0]
    assert (np.isfinite(values) == _legal(mini)).all()


@pytest.mark.parametrize("broken", ["negative", "not one", "nan", "shape"])
def test_what_is_no_distribution_is_refused(mini: LayeredSpace, broken: str) -> None:
    theta = np.zeros(_legal(mini).shape)
    theta[:, 0] = 1.0
    if broken == "negative":
        theta[2, :2] = 1.5, -0.5
    elif broken == "not one":
        theta[2, 0] = 0.9
    elif broken == "nan":
        theta[2, 0] = math.nan
    else:
        theta = theta[1:]
    with pytest.raises(UsageError, match="Probabilities"):
        from_probabilities(theta, mini, "theta")


# --- bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [[0.0, math.nan]],
        [[0.0, INF]],
        [[0.0, 1.0], [-INF, -INF]],
        [0.0, 1.0],
        [[]],
    ],
)
def test_values_that_cannot_be_scores_are_refused(values: Any) -> None:
    with pytest.raises(UsageError):
        Scores(values=np.array(values), space="any", origin="made up")


def test_scores_of_another_space_are_refused(tmp_path: Path, mini: LayeredSpace) -> None:
    path = tmp_path / "scores.json"
    write_scores(_scores(mini), path)
    with pytest.raises(UsageError, match="belong to the space fbnet-mini") as caught:
        read_scores(path, make_space("fbnet"))
    assert "same space" in caught.value.remedy


def test_scores_that_do_not_fit_their_space_are_refused(mini: LayeredSpace) -> None:
    values = _scores(mini).values
    short = Scores(values=values[:-1], space=mini.spec, origin="made up")
    with pytest.raises(UsageError, match="do not fit"):
        short.require(mini)
    full = Scores(values=np.zeros_like(values), space=mini.spec, origin="made up")
    with pytest.raises(UsageError, match="has no candidate"):
        full.require(mini)


def _changed(mini: LayeredSpace, **changes: object) -> str:
    return json.dumps({**json.loads(dump_scores(_scores(mini))), **changes})


def test_a_newer_schema_is_refused(mini: LayeredSpace) -> None:
    with pytest.raises(UsageError, match="newer than 1") as caught:
        parse_scores(_changed(mini, schema_version=2, new_field=1))
    assert caught.value.remedy == "Update the kit."


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": [[1.0, math.nan]]},
        {"scores": [[1.0, INF]]},
        {"scores": [[1.0], [1.0, 2.0]]},
        {"scores": [["high"]]},
        {"scores": []},
        {"extra": 1},
        {"schema_version": None},
        {"space": 3},
    ],
)
def test_a_file_with_wrong_values_is_refused(mini: LayeredSpace, changes: Any) -> None:
    with pytest.raises(UsageError):
        parse_scores(_changed(mini, **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"scores"', "null"])
def test_text_that_is_no_file_of_scores_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a file of scores"):
        parse_scores(text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, mini: LayeredSpace) -> None:
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe")
    for name in ("missing.json", "latin.json", "."):
        with pytest.raises(UsageError, match="Cannot read"):
            read_scores(tmp_path / name, mini)
