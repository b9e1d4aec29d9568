"""Exact selection: equal to brute force, never over the target."""

import itertools
import math
import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.latency.model import LatencyModel
from search.selection.exact import Selection, network_of, pareto_front, select, select_many
from search.selection.scores import Scores
from search.spaces.base import LayeredSpace
from tests.benchmarks.bench_exact import milp_score, random_selection
from tests.search.conftest import MakeTable

Array = npt.NDArray[np.float64]
INF = math.inf
# Small whole numbers: ties everywhere, and all sums exact.
WHOLE = st.integers(-4, 4).map(float)
COSTS = st.one_of(st.integers(0, 6).map(float), st.just(INF))
SCORES = st.one_of(WHOLE, WHOLE, st.just(-INF))


@st.composite
def instances(
    draw: st.DrawFn, costs: st.SearchStrategy[float], scores: st.SearchStrategy[float]
) -> tuple[Array, CostMatrix]:
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    cells = st.lists(st.tuples(costs, scores), min_size=shape[0] * shape[1], max_size=99)
    drawn = np.array(draw(cells)[: shape[0] * shape[1]]).reshape(*shape, 2)
    matrix = CostMatrix(costs=drawn[..., 0], fixed=float(draw(st.integers(-5, 5))))
    assume((np.isfinite(drawn).all(axis=2)).any(axis=1).all())
    return drawn[..., 1], matrix


WHOLE_INSTANCES = instances(COSTS, SCORES)
FLOAT_INSTANCES = instances(st.floats(0, 1e5), st.floats(-1e3, 1e3))


def _all_networks(scores: Array, costs: CostMatrix) -> list[tuple[float, float, tuple[int, ...]]]:
    """(minus score, latency, choices) of every legal network."""
    legal = [
        np.flatnonzero(np.isfinite(a) & np.isfinite(b))
        for a, b in zip(scores, costs.costs, strict=True)
    ]
    networks = list(itertools.product(*(row.tolist() for row in legal)))
    prices = costs.cost_of(networks)
    rows = range(len(scores))
    totals = [math.fsum(scores[row, network[row]] for row in rows) for network in networks]
    return [
        (-total, float(price), n) for total, price, n in zip(totals, prices, networks, strict=True)
    ]


def _best(scores: Array, costs: CostMatrix, target_us: float) -> tuple[float, float] | None:
    meets = [(a, b) for a, b, _ in _all_networks(scores, costs) if b <= target_us]
    return (-min(meets)[0], min(meets)[1]) if meets else None


# --- against brute force -------------------------------------------------------


@given(instance=WHOLE_INSTANCES, target_us=st.integers(-6, 30))
@settings(max_examples=200, deadline=None)
def test_the_selected_network_is_the_best_and_of_the_best_the_fastest(
    instance: tuple[Array, CostMatrix], target_us: int
) -> None:
    scores, costs = instance
    best = _best(scores, costs, target_us)
    if best is None:
        with pytest.raises(UsageError, match="fastest possible"):
            select(scores, costs, target_us)
        return
    found = select(scores, costs, target_us)
    assert (found.score, found.cost) == best
    assert found.optimal
    assert found.cost == costs.cost_of([found.choices])[0] <= target_us
    assert found.score == sum(scores[row, choice] for row, choice in enumerate(found.choices))


@given(instance=FLOAT_INSTANCES, data=st.data())
# Sums in another order: 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1.
@example(
    instance=(
        np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
        CostMatrix(costs=np.array([[0.0, 0.3], [0.0, 0.2], [0.0, 0.1]]), fixed=0.0),
    ),
    data=None,
)
@settings(max_examples=100, deadline=None)
def test_a_target_that_is_some_networks_latency_to_the_last_digit_is_used_in_full(
    instance: tuple[Array, CostMatrix], data: st.DataObject | None
) -> None:
    scores, costs = instance
    prices = sorted(price for _, price, _ in _all_networks(scores, costs))
    target_us = prices[-1] if data is None else data.draw(st.sampled_from(prices))
    best = _best(scores, costs, target_us)
    found = select(scores, costs, target_us)
    assert best is not None
    assert found.cost <= target_us
    assert found.score == pytest.approx(best[0], rel=1e-12, abs=1e-9)


def test_a_gain_at_next_to_no_cost_is_taken_without_a_warning() -> None:
    costs = CostMatrix(costs=np.array([[0.0, 5e-324], [0.0, 1.0]]), fixed=0.0)
    found = select(np.array([[0.0, 1.0], [0.0, 1.0]]), costs, 1.0)
    assert found.choices == (1, 1)


@pytest.mark.parametrize("seed", range(12))
def test_a_network_displaced_by_one_that_misses_by_the_last_digit_is_found(seed: int) -> None:
    # Tenths are not binary: the same three costs in another order sum to
    # another last digit, so equal latencies fall on both sides of the target.
    generator = np.random.default_rng(seed)
    costs = CostMatrix(costs=generator.integers(0, 8, (5, 4)) / 10, fixed=0.1)
    scores = generator.integers(0, 5, (5, 4)) / 10
    for target_us in sorted({price for _, price, _ in _all_networks(scores, costs)}):
        best = _best(scores, costs, target_us)
        found = select(scores, costs, target_us)
        assert best is not None
        assert found.cost <= target_us
        assert found.score == pytest.approx(best[0], abs=1e-12)


@given(instance=WHOLE_INSTANCES)
@settings(max_examples=80, deadline=None)
def test_the_front_holds_exactly_the_networks_that_no_other_one_dominates(
    instance: tuple[Array, CostMatrix],
) -> None:
    scores, costs = instance
    every = sorted((price, total) for total, price, _ in _all_networks(scores, costs))
    wanted, least = [], INF
    for price, total in every:
        if total < least:
            wanted.append((price, -total))
            least = total
    found = pareto_front(scores, costs)
    assert [(point.cost, point.score) for point in found] == wanted
    assert all(costs.cost_of([point.choices])[0] == point.cost for point in found)


@given(instance=WHOLE_INSTANCES, targets=st.lists(st.integers(0, 30), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_several_targets_at_once_give_what_each_gives_alone(
    instance: tuple[Array, CostMatrix], targets: list[int]
) -> None:
    scores, costs = instance
    assume(min(targets) >= min(price for _, price, _ in _all_networks(scores, costs)))
    together = select_many(scores, costs, targets)
    alone = [select(scores, costs, target_us) for target_us in targets]
    assert [(s.score, s.cost) for s in together] == [(s.score, s.cost) for s in alone]


# --- the size of FBNet ---------------------------------------------------------


@pytest.mark.parametrize("noise", [None, 0.2, 0.01])
@pytest.mark.parametrize("seed", [1000, 1001])
def test_a_mixed_integer_solver_finds_no_better_network_of_22_layers(
    seed: int, noise: float | None
) -> None:
    scores, costs, target_us = random_selection(seed, noise)
    found = select(scores, costs, target_us)
    assert found.optimal
    assert found.cost <= target_us
    assert found.score == pytest.approx(milp_score(scores, costs, target_us), rel=1e-6)


@pytest.mark.parametrize("noise", [None, 0.01])
def test_the_target_is_met_and_the_best_proven_on_every_random_table(noise: float | None) -> None:
    for seed in range(100):
        scores, costs, target_us = random_selection(seed, noise)
        found = select(scores, costs, target_us)
        assert costs.cost_of([found.choices])[0] == found.cost <= target_us
        assert found.optimal


def test_looser_targets_never_score_less_and_the_front_rises() -> None:
    scores, costs, target_us = random_selection(7, 0.2)
    targets = np.linspace(costs.cheapest() + 1, 2 * target_us, 12)
    found = select_many(scores, costs, list(targets))
    totals = [selection.score for selection in found]
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]
    whole = pareto_front(scores, costs)
    assert all(
        one.cost < two.cost and one.score < two.score for one, two in itertools.pairwise(whole)
    )
    best_under = [max(p.score for p in whole if p.cost <= target) for target in targets]
    assert totals == pytest.approx(best_under)
    assert [s.cost for s in found] == [
        max(p.cost for p in whole if p.cost <= target) for target in targets
    ]


def test_scores_that_are_costs_still_give_a_good_network_and_an_honest_bound() -> None:
    # Subset sums: partial networks do not dominate each other at all.
    generator = np.random.default_rng(0)
    costs = CostMatrix(costs=generator.uniform(5, 500, (12, 6)), fixed=0.0)
    target_us = 0.6 * float(costs.costs.max(axis=1).sum())
    found = select(costs.costs, costs, target_us, most_states=500)
    assert found.cost <= target_us
    assert not found.optimal
    assert found.score <= found.bound <= target_us * (1 + 1e-9)
    assert found.gap <= 0.01 * target_us
    with pytest.raises(UsageError, match="several targets"):
        pareto_front(costs.costs, costs, most_states=500)


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_holds_and_no_result_is_lost_however_few_states_are_kept(seed: int) -> None:
    scores, costs, target_us = random_selection(seed, 0.01)
    best = select(scores, costs, target_us)
    for most_states in (1, 2, 5, 20):
        found = select(scores, costs, target_us, most_states=most_states)
        assert found.cost <= target_us
        assert found.score <= best.score <= found.bound + 1e-9
        assert found.optimal <= (found.score == best.score)


def test_equal_inputs_give_equal_networks() -> None:
    flat = CostMatrix(costs=np.ones((5, 4)), fixed=0.0)
    assert select(np.zeros((5, 4)), flat, 5.0).choices == (0, 0, 0, 0, 0)
    scores, costs, target_us = random_selection(3, None)
    assert select(scores, costs, target_us) == select(scores.copy(), costs, target_us)


def test_a_score_that_is_far_worse_does_not_blur_the_others() -> None:
    costs = CostMatrix(costs=np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), fixed=0.0)
    scores = np.array([[-1e90, 1e-6, 2e-6], [-1e90, 1e-6, 3e-6]])
    assert select(scores, costs, 5.0).choices == (1, 2)


# --- bad input -----------------------------------------------------------------


def test_an_infeasible_target_is_told_the_fastest_possible_latency_which_then_works() -> None:
    scores, costs, _ = random_selection(11, None)
    fastest_us = costs.cheapest()
    with pytest.raises(UsageError, match="fastest possible") as caught:
        select(scores, costs, fastest_us * 0.99)
    told = re.search(r"latency is ([\d.]+) ms \(([\d.]+) us\)", caught.value.message)
    assert told is not None
    in_ms, in_us = float(told[1]), float(told[2])
    assert fastest_us <= in_us <= fastest_us + 0.11
    assert in_ms * 1e3 == pytest.approx(in_us)
    assert select(scores, costs, in_us).cost <= in_us
    assert f"{in_ms:.4f} ms" in caught.value.remedy


def test_one_infeasible_target_among_several_is_told() -> None:
    scores, costs, target_us = random_selection(11, None)
    with pytest.raises(UsageError, match="fastest possible"):
        select_many(scores, costs, [target_us, 1.0])


def test_the_very_fastest_latency_is_a_possible_target() -> None:
    for seed in range(20):
        scores, costs, _ = random_selection(seed, None)
        fastest = costs.costs.argmin(axis=1)
        target_us = float(costs.cost_of([fastest])[0])
        found = select(np.where(np.isfinite(costs.costs), scores, -INF), costs, target_us)
        assert found.cost == target_us


@pytest.mark.parametrize("target_us", [math.nan, INF, -INF])
def test_a_target_that_is_no_number_is_refused(target_us: float) -> None:
    scores, costs, _ = random_selection(0, None)
    with pytest.raises(UsageError, match="not a number"):
        select(scores, costs, target_us)


def test_no_target_at_all_is_refused() -> None:
    scores, costs, _ = random_selection(0, None)
    with pytest.raises(UsageError, match="No latency target"):
        select_many(scores, costs, [])


@pytest.mark.parametrize("value", [math.nan, INF, 1e200])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    scores, costs, target_us = random_selection(0, None)
    scores[4, 2] = value
    with pytest.raises(UsageError, match="score"):
        select(scores, costs, target_us)


@pytest.mark.parametrize("value", [math.nan, -INF, 1e200])
def test_a_cost_that_is_no_number_is_refused(value: float) -> None:
    scores, costs, target_us = random_selection(0, None)
    broken = costs.costs.copy()
    broken[4, 2] = value
    with pytest.raises(UsageError, match="cost"):
        select(scores, CostMatrix(costs=broken, fixed=0.0), target_us)
    with pytest.raises(UsageError, match="fixed cost"):
        select(scores, CostMatrix(costs=costs.costs, fixed=value), target_us)


def test_a_layer_without_a_legal_candidate_is_named() -> None:
    scores, costs, target_us = random_selection(0, None)
    scores[7] = -INF
    with pytest.raises(UsageError, match="Layer 7"):
        select(scores, costs, target_us)


def test_scores_of_another_shape_are_refused() -> None:
    scores, costs, target_us = random_selection(0, None)
    with pytest.raises(UsageError, match="do not fit"):
        select(scores[:-1], costs, target_us)


# --- with a space --------------------------------------------------------------


def test_a_selection_is_a_network_of_the_space(make_table: MakeTable, mini: LayeredSpace) -> None:
    model = LatencyModel(make_table())
    costs = model.cost_matrix(mini)
    values = np.where(np.isfinite(costs.costs), 0.01 * costs.costs, -INF)
    scores = Scores(values=values, space=mini.spec, origin="made up")
    target_us = 1.3 * costs.cheapest()
    found = select(scores, costs, target_us)
    network = found.architecture(mini, "found")
    assert network == network_of(mini, found.choices, "found")
    assert network.space == mini.spec
    assert model.estimate(network).value_us == pytest.approx(found.cost)
    score, cost = _best(values, costs, target_us)
    assert score == pytest.approx(found.score)
    assert cost == found.cost


def test_a_gap_is_what_the_bound_leaves() -> None:
    proven = Selection(choices=(0,), score=2.0, cost=1.0, bound=2.0)
    open_ = Selection(choices=(0,), score=2.0, cost=1.0, bound=2.5)
    assert (proven.gap, proven.optimal) == (0.0, True)
    assert (open_.gap, open_.optimal) == (0.5, False)
