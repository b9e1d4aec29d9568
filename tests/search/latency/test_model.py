"""The latency model: sums, intervals and cost matrices."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.architecture import Architecture
from search.costs.matrix import CostMatrix
from search.errors import MissingOperator, TableError, UsageError
from search.latency.model import FEATURES, Estimate, LatencyModel, feature_vector
from search.operators.spec import OperatorSpec, parse_key
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.calibration import Calibration
from search.table.entries import Entry, Interval, OperatorCounts
from search.table.store import Table

MakeTable = Callable[..., Table]


def _calibration(
    features: tuple[str, ...] = ("steady_us",), residual: float = 0.02, seed: int = 0
) -> Calibration:
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(len(features) + 1, len(features) + 1)) / 100
    return Calibration(
        features=features,
        slopes=tuple(generator.uniform(0.5, 1.5, len(features))),
        intercept_us=25.0,
        covariance=tuple(map(tuple, root @ root.T)),
        networks=10,
        relative_residual=residual,
        interval_factor=2.5,
        cross_validated_mape=0.01,
        raw_sum_mape=0.1,
        method="made up",
    )


def _subsets() -> list[tuple[str, ...]]:
    names = tuple(FEATURES)
    return [subset for size in (1, 2, 5) for subset in itertools.combinations(names, size)]


@pytest.fixture(scope="module")
def table(make_table: MakeTable) -> Table:
    return make_table()


def _random_choices(space: LayeredSpace, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(len(layer.choices)) for layer in space.layers]


def _network(space: LayeredSpace, indices: list[int]) -> Architecture:
    names = [layer.choices[i].name for layer, i in zip(space.layers, indices, strict=True)]
    return space.architecture(names)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_without_calibration_a_network_costs_the_sum_of_its_medians(
    table: Table, mini: LayeredSpace, seed: int
) -> None:
    indices = _random_choices(mini, seed)
    network = _network(mini, indices)
    medians = {entry.key: entry.known_time.centre_us for entry in table.entries}
    by_hand = sum(medians[op.key] for op in network.operators if op.kind != "skip")
    model = LatencyModel(table)
    assert model.cost_matrix().cost_of([indices])[0] == pytest.approx(by_hand, rel=1e-12)
    near: Any = pytest.approx(by_hand)
    assert model.estimate(network) == Estimate(value_us=near, low_us=near, high_us=near)


@pytest.mark.parametrize("features", _subsets(), ids="-".join)
def test_the_matrix_and_the_estimate_agree_under_any_calibration(
    make_table: MakeTable, mini: LayeredSpace, features: tuple[str, ...]
) -> None:
    calibration = _calibration(features, seed=len(features))
    model = LatencyModel(make_table(calibration=calibration))
    choices = [_random_choices(mini, seed) for seed in range(20)]
    estimates = [model.estimate(_network(mini, indices)) for indices in choices]
    prices = model.cost_matrix().cost_of(choices)
    assert prices == pytest.approx([estimate.value_us for estimate in estimates], rel=1e-9)
    for estimate in estimates:
        assert estimate.low_us < estimate.value_us < estimate.high_us


def test_each_feature_is_what_its_name_says() -> None:
    entry = Entry(
        key="conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32",
        status="ok",
        time=Interval(centre_us=40.0, low_us=39.0, high_us=41.0),
        first_call=Interval(centre_us=47.5),
        in_network_us=43.25,
        counts=OperatorCounts(input_bytes=2_000_000, output_bytes=500_000, weight_bytes=3_000),
    )
    names = ("steady_us", "first_extra_us", "in_network_us", "operators", "weight_mb", "moved_mb")
    assert set(names) == set(FEATURES)
    assert feature_vector(entry, names).tolist() == [40.0, 7.5, 43.25, 1.0, 0.003, 2.5]
    unknown_first = replace(entry, first_call=None)
    assert feature_vector(unknown_first, ("first_extra_us", "operators")).tolist() == [0.0, 1.0]


def test_a_failed_row_has_no_feature() -> None:
    failed = Entry(key="empty_b1_fp32", status="failed", reason="crash")
    with pytest.raises(TableError, match="has no time"):
        feature_vector(failed, ("steady_us",))


def test_a_calibrated_network_is_priced_as_by_hand(make_table: MakeTable) -> None:
    calibration = _calibration_of(
        features=("steady_us", "operators"),
        slopes=(1.25, -2.0),
        covariance=((4.0, 0.0, 0.0), (0.0, 1e-4, 0.0), (0.0, 0.0, 0.25)),
        relative_residual=0.03,
    )
    table = make_table(calibration=calibration)
    first = table.entries[0]
    time_us = first.known_time.centre_us
    estimate = LatencyModel(table).estimate(Architecture(name="stem", operators=(first.operator,)))
    value = 25 + 1.25 * time_us - 2
    variance = 4 + 1e-4 * time_us**2 + 0.25 + (0.03 * value) ** 2
    assert estimate.value_us == pytest.approx(value)
    assert estimate.high_us - value == pytest.approx(2.5 * math.sqrt(variance))
    assert value - estimate.low_us == pytest.approx(2.5 * math.sqrt(variance))


def _calibration_of(**changes: object) -> Calibration:
    return Calibration(**{**_calibration().model_dump(), **changes})


def test_a_skip_costs_nothing(table: Table, mini: LayeredSpace) -> None:
    model = LatencyModel(table)
    costs = model.cost_matrix().costs
    skips = [
        (row, column)
        for row, layer in enumerate(mini.layers)
        for column, choice in enumerate(layer.choices)
        if choice.is_skip
    ]
    assert len(skips) == 3
    assert all(costs[place] == 0 for place in skips)
    skip = mini.layers[0].choices[-1].operator
    assert model.operator_us(skip) == 0
    alone = Architecture(name="skip", operators=(skip,))
    assert model.estimate(alone).value_us == 0


def test_a_choice_that_is_not_legal_costs_infinitely_much(table: Table, mini: LayeredSpace) -> None:
    matrix = LatencyModel(table).cost_matrix()
    for row, layer in enumerate(mini.layers):
        legal = len(layer.choices)
        assert np.isfinite(matrix.costs[row, :legal]).all()
        assert np.isinf(matrix.costs[row, legal:]).all()
        if legal < matrix.costs.shape[1]:
            indices = [0] * len(mini.layers)
            indices[row] = legal
            assert matrix.cost_of([indices])[0] == math.inf
    assert np.isinf(matrix.costs).sum() == 3


@pytest.mark.parametrize(
    "choices", [[[0, 0, 0, 0, 0, 9]], [[9, 0, 0, 0, 0, 0]], [[0, -1, 0, 0, 0, 0]], [[0]], [0] * 6]
)
def test_choices_beyond_the_matrix_are_refused(table: Table, choices: list[Any]) -> None:
    with pytest.raises(UsageError):
        LatencyModel(table).cost_matrix().cost_of(choices)


def test_pricing_no_network_gives_no_price(table: Table, mini: LayeredSpace) -> None:
    nothing = np.empty((0, len(mini.layers)), dtype=int)
    assert LatencyModel(table).cost_matrix().cost_of(nothing).tolist() == []


def test_the_fastest_network_is_the_cheapest_of_all_networks(
    table: Table, mini: LayeredSpace
) -> None:
    matrix = LatencyModel(table).cost_matrix()
    every = np.indices([len(layer.choices) for layer in mini.layers]).reshape(len(mini.layers), -1)
    assert every.shape[1] == mini.size.networks
    assert matrix.cheapest() == pytest.approx(matrix.cost_of(every.T).min())


def test_fixed_operators_and_the_intercept_are_paid_by_every_network() -> None:
    matrix = CostMatrix(costs=np.array([[1.0, 2.0], [10.0, np.inf]]), fixed=100.0)
    assert matrix.cost_of([[0, 0], [1, 0], [1, 1]]).tolist() == [111.0, 112.0, math.inf]
    assert matrix.cheapest() == 111.0


@pytest.mark.parametrize("space", ["fbnet", "fbnet-cifar"])
def test_a_space_that_the_table_does_not_cover_is_refused(table: Table, space: str) -> None:
    with pytest.raises(MissingOperator, match="has no row") as caught:
        LatencyModel(table).cost_matrix(make_space(space))
    assert "python -m profiler" in caught.value.remedy


def test_a_failed_operator_stops_the_matrix(table: Table) -> None:
    failed = Entry(key=table.entries[5].key, status="failed", reason="crash: signal 11")
    broken = replace(table, entries=(*table.entries[:5], failed, *table.entries[6:]))
    with pytest.raises(MissingOperator, match="crash: signal 11"):
        LatencyModel(broken).cost_matrix()


def test_an_operator_that_is_not_in_the_table_is_refused(table: Table) -> None:
    stranger: OperatorSpec = parse_key("conv_k7_g1_relu_i3_o16_h32_w32_s1_b1_fp32")
    with pytest.raises(MissingOperator, match="conv_k7"):
        LatencyModel(table).operator_us(stranger)


@given(
    value=st.floats(1, 1e6),
    reach=st.floats(0, 1e5),
    targets=st.lists(st.floats(-1e6, 2e6), min_size=2, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_a_looser_target_is_never_less_probable(
    value: float, reach: float, targets: list[float]
) -> None:
    estimate = Estimate(value_us=value, low_us=value - reach, high_us=value + reach)
    found = [estimate.probability_below(target) for target in sorted(targets)]
    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] <= 1


def test_the_interval_holds_95_percent() -> None:
    estimate = Estimate(value_us=1000.0, low_us=900.0, high_us=1100.0)
    assert estimate.probability_below(1000) == pytest.approx(0.5)
    assert estimate.probability_below(1100) == pytest.approx(0.975, abs=1e-4)
    assert estimate.probability_below(900) == pytest.approx(0.025, abs=1e-4)


def test_without_an_interval_the_target_is_met_or_not() -> None:
    exact = Estimate(value_us=10.0, low_us=10.0, high_us=10.0)
    assert [exact.probability_below(target) for target in (9.9, 10.0, 10.1)] == [0.0, 1.0, 1.0]
