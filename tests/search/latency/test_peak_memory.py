"""Peak memory of a space's networks as costs, against the model's word on each network."""

import random

import numpy as np
import pytest

from search.costs.base import Array, Costs
from search.errors import UsageError
from search.latency import peak_memory
from search.latency.peak_memory import (
    MemoryFeatures,
    estimate_memory,
    memory_costs,
    require_memory,
)
from search.selection.by_costs import sampler_of, select_many_within
from search.selection.exact import network_of
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.memory import MemoryPiece
from tests.search.conftest import MakeTable
from tests.search.memory_models import memory_model

MODEL = memory_model(
    MemoryPiece(intercept_bytes=4e5, weights=2.0),
    MemoryPiece(intercept_bytes=1e6, weights=1.1, chained=0.5, live=0.9),
)
SPACES = ("fbnet-mini", "fbnet", "fbnetv2-mini", "fp-nas-mini")


def _drawn(space: LayeredSpace, number: int) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    return [
        tuple(draw.randrange(len(layer.choices)) for layer in space.layers) for _ in range(number)
    ]


def _peak(costs: tuple[Costs, ...], choices: list[tuple[int, ...]]) -> Array:
    peaks: Array = np.max([one.cost_of(choices) for one in costs], axis=0)
    return peaks


@pytest.mark.parametrize("name", SPACES)
def test_costs_of_networks_are_what_the_model_says_of_their_operators(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak_memory, "MOST_LEVELS", 120)
    space = make_space(name)
    choices = _drawn(space, 12)
    expected = [
        max(
            MemoryFeatures.of(network_of(space, one, "x").operators).by(piece)
            for piece in MODEL.pieces
        )
        for one in choices
    ]
    np.testing.assert_allclose(_peak(memory_costs(MODEL, space), choices), expected, rtol=1e-9)


def test_fewer_levels_round_the_peak_up_and_never_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "MOST_LEVELS", 6)
    space = make_space("fbnet")
    choices = _drawn(space, 40)
    exact = [
        1024 * estimate_memory(MODEL, network_of(space, one, "x").operators).value_kb
        for one in choices
    ]
    rounded = _peak(memory_costs(MODEL, space), choices)
    assert (rounded >= np.array(exact) * (1 - 1e-9)).all()
    assert (rounded <= np.array(exact) * 1.5).all()
    assert (rounded > np.array(exact) * 1.001).any()


def test_exact_selection_under_the_running_piece_is_the_best_of_all_networks() -> None:
    space = make_space("nas-bench-macro")
    running = memory_costs(MODEL, space)[1]
    widths = [len(layer.choices) for layer in space.layers]
    every = np.array(list(np.ndindex(*widths)))
    scores = np.random.default_rng(3).normal(size=(len(widths), max(widths)))
    totals, sums = running.cost_of(every), scores[np.arange(len(widths)), every].sum(1)
    for share in (0.05, 0.3, 0.7):
        most = float(np.quantile(totals, share))
        found = select_many_within(running, scores, [most])[0]
        assert found.optimal
        assert found.cost <= most
        assert found.score == pytest.approx(sums[totals <= most].max())


def test_networks_drawn_within_a_peak_keep_to_it() -> None:
    space = make_space("fbnet-mini")
    running = memory_costs(MODEL, space)[1]
    most = running.cheapest() + 0.3 * (running.dearest() - running.cheapest())
    drawn = sampler_of(running, most).draw(50, np.random.default_rng(0))
    assert (running.cost_of(drawn) <= most).all()
    assert len({tuple(row) for row in drawn}) > 30


def test_the_interval_holds_the_value_and_is_as_wide_as_the_model_errs() -> None:
    network = network_of(make_space("fbnet-mini"), _drawn(make_space("fbnet-mini"), 1)[0], "x")
    found = estimate_memory(MODEL, network.operators)
    assert found.low_kb == pytest.approx(found.value_kb * 0.96)
    assert found.high_kb == pytest.approx(found.value_kb * 1.04)


def test_a_table_without_a_memory_model_names_the_command_that_makes_one(
    make_table: MakeTable,
) -> None:
    with pytest.raises(UsageError, match="does not tell the peak memory") as caught:
        require_memory(make_table())
    assert "python -m profiler --device" in str(caught.value.remedy)
