"""Effects of neighbouring layers: one price for a network, wherever it is asked for."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from search.algorithms.expected_cost import expected_cost_of
from search.algorithms.single_path.indicators import RuntimeModel, runtime_model_of
from search.costs.as_chain import along_one_chain, chain_of
from search.costs.base import Costs
from search.costs.matrix import CostMatrix
from search.costs.pairs import PairedCosts
from search.latency.model import LatencyModel
from search.latency.pairs import Pair, PairEffects, expansion_of, pair_of
from search.latency.peak_memory import memory_costs
from search.operators.counts import count
from search.selection.by_costs import front_of, select_many_within
from search.selection.exact import network_of
from search.selection.surely.chance_constrained import select_chance_constrained
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.calibration import Calibration, PairEffect
from search.table.memory import MemoryModel, MemoryPiece
from tests.search.conftest import MakeTable


def effects_of(space: LayeredSpace, seed: int = 0) -> tuple[PairEffect, ...]:
    """An effect of every pair that networks of the space can have, of -40 to 40 us."""
    draw = random.Random(seed)
    pairs: dict[Pair, float] = {}
    places = [
        list(space.before),
        *([choice.operator for choice in layer.choices] for layer in space.layers),
        list(space.after),
    ]
    for firsts, seconds in itertools.pairwise(places):
        for first in firsts:
            for second in seconds:
                pairs.setdefault(pair_of(first, second), draw.uniform(-40, 40))
    return tuple(
        PairEffect(height=height, first=first, second=second, effect_us=effect_us)
        for (height, first, second), effect_us in pairs.items()
    )


def calibration_of(pairs: Sequence[PairEffect]) -> Calibration:
    return Calibration(
        features=("steady_us", "operators"),
        slopes=(1.1, 2.0),
        intercept_us=-30.0,
        covariance=((4.0, 0.0, 0.0), (0.0, 1e-4, 0.0), (0.0, 0.0, 0.01)),
        networks=30,
        relative_residual=0.02,
        interval_factor=2.0,
        cross_validated_mape=0.01,
        raw_sum_mape=0.1,
        method="made up",
        pairs=tuple(pairs),
    )


@pytest.fixture(scope="module")
def model(make_table: MakeTable, mini: LayeredSpace) -> LatencyModel:
    return LatencyModel(make_table(calibration=calibration_of(effects_of(mini))))


def drawn(costs: Costs, number: int = 40) -> np.ndarray:
    draw = np.random.default_rng(1)
    return np.stack([draw.integers(0, legal.sum(), number) for legal in costs.legal], axis=1)


def test_a_network_costs_what_it_is_estimated_at(model: LatencyModel, mini: LayeredSpace) -> None:
    costs = model.space_costs(mini)
    assert isinstance(costs, PairedCosts)
    choices = drawn(costs)
    networks = [network_of(mini, row.tolist(), "drawn") for row in choices]
    estimated = [model.estimate(network).value_us for network in networks]
    assert costs.cost_of(choices) == pytest.approx(estimated, rel=1e-12)
    # The matrix alone does not hold the effects.
    assert not np.allclose(model.cost_matrix(mini).cost_of(choices), estimated, rtol=1e-3)


def test_the_layers_of_a_network_add_up_to_its_latency(
    model: LatencyModel, mini: LayeredSpace
) -> None:
    network = mini.random_architecture(random.Random(3), "drawn")
    parts = model.layers_us(network.operators)
    whole = model.estimate(network).value_us
    assert sum(parts) - 30.0 == pytest.approx(whole, rel=1e-12)
    alone = [model.operator_us(operator) for operator in network.operators]
    assert parts != pytest.approx(alone, rel=1e-3)


def test_a_skip_is_a_neighbour_of_its_own_kind() -> None:
    space = make_space("fbnet-mini")
    skips = [c.operator for layer in space.layers for c in layer.choices if c.name == "skip"]
    assert skips
    assert {expansion_of(skip) for skip in skips} == {None}
    assert expansion_of(space.before[0]) == 0
    effects = PairEffects(calibration_of(effects_of(space)))
    assert effects.along([]) == []
    assert effects.along(skips[:1]) == [0.0]


def test_a_table_without_effects_keeps_a_matrix(make_table: MakeTable, mini: LayeredSpace) -> None:
    assert isinstance(LatencyModel(make_table()).space_costs(mini), CostMatrix)
    beyond = PairEffect(height=999, first=3, second=6, effect_us=50.0)
    model = LatencyModel(make_table(calibration=calibration_of([beyond])))
    assert isinstance(model.space_costs(mini), CostMatrix)


def test_the_expected_cost_is_the_mean_over_networks(
    model: LatencyModel, mini: LayeredSpace
) -> None:
    costs = model.space_costs(mini)
    expected, choices = expected_cost_of(costs), drawn(costs, 5)
    for row in choices:
        weights = torch.zeros(costs.legal.shape, dtype=torch.float64)
        weights[range(len(row)), row.tolist()] = 1.0
        assert float(expected(weights)) == pytest.approx(costs.cost_of([row])[0], rel=1e-9)


def test_selection_is_no_worse_than_any_drawn_network(
    model: LatencyModel, mini: LayeredSpace
) -> None:
    costs = model.space_costs(mini)
    draw = np.random.default_rng(2)
    scores = np.where(costs.legal, draw.normal(size=costs.legal.shape), -np.inf)
    middle = (costs.cheapest() + costs.dearest()) / 2
    found = select_many_within(costs, scores, [middle])[0]
    assert found.cost <= middle
    assert found.optimal
    choices = drawn(costs, 3000)
    sums = scores[np.arange(choices.shape[1]), choices].sum(axis=1)
    assert found.score >= sums[costs.cost_of(choices) <= middle].max()
    front = front_of(costs, scores)
    assert [one.cost for one in front] == sorted(one.cost for one in front)
    assert max(one.score for one in front if one.cost <= middle) == pytest.approx(found.score)


def test_a_probability_is_kept_with_effects(model: LatencyModel, mini: LayeredSpace) -> None:
    costs = model.space_costs(mini)
    draw = np.random.default_rng(4)
    scores = np.where(costs.legal, draw.normal(size=costs.legal.shape), -np.inf)
    target = (costs.cheapest() + costs.dearest()) / 2
    found = select_chance_constrained(scores, model, mini, target, 0.9)
    assert found.optimal
    estimate = model.estimate(network_of(mini, found.choices, "found"))
    assert estimate.probability_below(target) >= 0.9
    assert found.score <= select_many_within(costs, scores, [target])[0].score


def test_chains_that_remember_different_things_are_walked_together(
    model: LatencyModel, mini: LayeredSpace
) -> None:
    memory = MemoryModel(
        pieces=(MemoryPiece(intercept_bytes=2e4, weights=1.0, chained=0.5, live=0.4),),
        runner_kb=8000,
        networks=20,
        relative_residual=0.02,
        interval_factor=2.0,
        cross_validated_mape=0.015,
        method="made up",
    )
    every = [model.space_costs(mini), *memory_costs(memory, mini), model.cost_matrix(mini)]
    together = along_one_chain([chain_of(costs) for costs in every])
    choices = drawn(every[0])
    for costs, chain in zip(every, together, strict=True):
        assert chain.cost_of(choices) == pytest.approx(costs.cost_of(choices), rel=1e-12)
    for first, second in itertools.pairwise(together):
        for one, other in zip(first.transitions, second.transitions, strict=True):
            assert np.array_equal(one.next_state, other.next_state)


def test_chains_of_different_spaces_have_nothing_in_common(mini: LayeredSpace) -> None:
    other = make_space("nas-bench-macro")
    chains = [chain_of(space.costs(lambda _: 1.0)) for space in (mini, other)]
    with pytest.raises(TypeError, match="different spaces"):
        along_one_chain(chains)


def test_the_single_path_formula_takes_the_layers_alone() -> None:
    space = make_space("single-path-mini")
    alone = space.costs(lambda operator: count(operator).flops / 1e3)
    costs = PairEffects(calibration_of(effects_of(space))).add_to(alone, space)
    assert isinstance(costs, PairedCosts)
    assert isinstance(runtime_model_of(space, costs, "paper"), RuntimeModel)
