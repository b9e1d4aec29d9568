"""Random search and evolution: under the target, within the budget, reproducible."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.algorithms.baselines.search import (
    BaselineResult,
    Choices,
    Evaluate,
    Evolution,
    evolve,
    random_search,
)
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.exact import select
from search.selection.sampling import FeasibleSampler
from tests.benchmarks.bench_exact import random_selection

Search = Callable[..., BaselineResult]
METHODS = pytest.mark.parametrize("search", [random_search, evolve])


def _separable(scores: npt.NDArray[np.float64]) -> Evaluate:
    rows = range(len(scores))

    def evaluate(networks: Sequence[Choices]) -> list[float]:
        return [math.fsum(scores[row, network[row]] for row in rows) for network in networks]

    return evaluate


class _Counting:
    """An evaluation that remembers what it was asked."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate, self.asked = evaluate, list[Choices]()

    def __call__(self, networks: Sequence[Choices]) -> Sequence[float]:
        self.asked.extend(networks)
        return self.evaluate(networks)


@METHODS
@given(seed=st.integers(0, 10**6), budget=st.integers(1, 120))
@settings(max_examples=25, deadline=None)
def test_only_new_networks_under_the_target_are_evaluated_within_the_budget(
    search: Search, seed: int, budget: int
) -> None:
    scores, costs, target_us = random_selection(seed, 0.2)
    counting = _Counting(_separable(scores))
    found: BaselineResult = search(counting, costs, target_us, budget=budget, seed=seed)
    assert [trial.choices for trial in found.history] == counting.asked
    assert len(set(counting.asked)) == len(counting.asked) == budget
    prices = costs.cost_of(counting.asked)
    assert (prices <= target_us).all()
    assert [trial.cost for trial in found.history] == prices.tolist()
    assert [trial.score for trial in found.history] == counting.evaluate(counting.asked)
    assert [trial.number for trial in found.history] == list(range(1, budget + 1))
    assert found.best.score == max(trial.score for trial in found.history)
    assert found.best in found.history


@METHODS
@pytest.mark.parametrize("share", [1.0, 1.0001, 1.05])
def test_targets_near_the_fastest_network_are_searched_too(search: Search, share: float) -> None:
    scores, costs, _ = random_selection(1, None)
    fastest = costs.costs.argmin(axis=1)
    target_us = share * float(costs.cost_of([fastest])[0])
    found = search(_separable(scores), costs, target_us, budget=40, seed=0)
    assert all(trial.cost <= target_us for trial in found.history)
    if share == 1.0:
        assert [trial.choices for trial in found.history] == [tuple(fastest)]


@METHODS
def test_a_small_space_is_searched_whole_and_then_left(search: Search) -> None:
    scores = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 1.0]])
    costs = CostMatrix(costs=np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), fixed=0.0)
    found = search(_separable(scores), costs, 4.0, budget=1000, seed=0)
    assert len(found.history) == 6
    best = select(scores, costs, 4.0)
    assert (found.best.choices, found.best.score) == (best.choices, best.score)


@METHODS
def test_the_same_seed_gives_the_same_history_and_another_one_does_not(
    search: Search,
) -> None:
    scores, costs, target_us = random_selection(4, None)
    one, two, other = (
        search(_separable(scores), costs, target_us, budget=60, seed=seed) for seed in (3, 3, 4)
    )
    assert one == two
    assert one.history != other.history


def test_evolution_beats_random_search_on_average_and_neither_beats_the_exact_best() -> None:
    margins = []
    for seed in range(10):
        scores, costs, target_us = random_selection(seed, None)
        evaluate = _separable(scores)
        random_best = random_search(evaluate, costs, target_us, budget=300, seed=seed).best
        evolved = evolve(evaluate, costs, target_us, budget=300, seed=seed).best
        bound = select(scores, costs, target_us).score
        assert max(random_best.score, evolved.score) <= bound + 1e-9
        margins.append((evolved.score - random_best.score) / (bound - random_best.score))
    # Of what random search leaves, evolution finds more than half.
    assert np.mean(margins) > 0.5
    assert min(margins) > 0


def test_children_are_made_of_the_best_networks() -> None:
    # One layer decides all: once the best candidate is known it spreads.
    scores = np.zeros((12, 4))
    scores[5, 2] = 10.0
    costs = CostMatrix(costs=np.ones((12, 4)), fixed=0.0)
    found = evolve(_separable(scores), costs, 12.0, budget=200, seed=0)
    early = [trial.choices[5] == 2 for trial in found.history[:40]]
    late = [trial.choices[5] == 2 for trial in found.history[-40:]]
    assert np.mean(early) < 0.5
    assert np.mean(late) > 0.8


def test_equal_scores_are_decided_by_the_lower_latency() -> None:
    costs = CostMatrix(costs=np.array([[1.0, 2.0, 3.0]] * 3), fixed=0.0)
    found = random_search(lambda networks: [0.0] * len(networks), costs, 9.0, budget=27, seed=1)
    assert found.best.choices == (0, 0, 0)


def test_candidates_that_are_not_legal_are_never_proposed() -> None:
    scores, costs, _ = random_selection(5, None)
    forbidden = np.isinf(costs.costs)
    assert forbidden.any()
    found = evolve(
        _separable(np.where(forbidden, 99.0, scores)),
        costs,
        1e6,
        budget=300,
        seed=0,
        settings=Evolution(mutation=1.0),
    )
    rows = np.arange(len(scores))
    assert not any(forbidden[rows, trial.choices].any() for trial in found.history)


def test_random_networks_of_equal_latency_are_offered_beside_the_searches() -> None:
    _, costs, target_us = random_selection(6, None)
    drawn = FeasibleSampler(costs, target_us, 0.98 * target_us).draw(5, np.random.default_rng(0))
    prices = costs.cost_of(drawn)
    assert ((0.98 * target_us <= prices) & (prices <= target_us)).all()


# --- bad input -----------------------------------------------------------------


@METHODS
@pytest.mark.parametrize("answer", [[], [1.0] * 1000, [math.nan]])
def test_an_evaluation_that_answers_wrongly_is_refused(search: Search, answer: list[float]) -> None:
    _, costs, target_us = random_selection(6, None)
    with pytest.raises(UsageError, match="The evaluation of"):
        search(lambda networks: answer, costs, target_us, budget=1, seed=0)


@METHODS
def test_a_budget_of_nothing_and_an_infeasible_target_are_refused(
    search: Search,
) -> None:
    scores, costs, target_us = random_selection(6, None)
    with pytest.raises(UsageError, match="budget of 0"):
        search(_separable(scores), costs, target_us, budget=0)
    with pytest.raises(UsageError, match="fastest possible"):
        search(_separable(scores), costs, costs.cheapest() - 1, budget=5)


@pytest.mark.parametrize(
    "changes", [{"population": 1}, {"parents": 0}, {"mutation": 0.0}, {"mutation": 1.5}]
)
def test_settings_of_evolution_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Evolution needs"):
        Evolution(**changes)
