"""Several limits at once: exact selection, sampling and penalties, against all networks."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.algorithms.baselines.search import evolve, random_search
from search.algorithms.expected_cost import expected_cost_of
from search.costs.base import Costs
from search.costs.chain import ChainCosts, Transition
from search.costs.factors import Factor, FactorCosts
from search.costs.joint import JointCosts, Limit
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.by_costs import front_of, sampler_of, select_many_within
from search.selection.joint import least_cost, require_limits
from search.selection.joint_program import make_joint_problem, solve
from tests.search.selection.test_chain import made

Array = npt.NDArray[np.float64]
KINDS = ("matrix", "chain", "factors", "pairs")


def _another(costs: Costs, seed: int) -> Costs:
    """Costs of the same networks in another unit."""
    draw = np.random.default_rng(seed)
    if isinstance(costs, ChainCosts):
        transitions = tuple(
            Transition(costs=1 + draw.random(one.costs.shape), next_state=one.next_state)
            for one in costs.transitions
        )
        return ChainCosts(fixed=1.0, transitions=transitions, last=draw.random(len(costs.last)))
    assert isinstance(costs, FactorCosts)
    factors = tuple(
        Factor(variables=one.variables, values=1 + draw.random(one.values.shape))
        for one in costs.factors
    )
    return FactorCosts(widths=costs.widths, fixed=1.0, factors=factors)


def _case(kind: str, seed: int) -> tuple[list[Costs], Array, Any, Array]:
    """Two kinds of costs, scores, all networks and the sums of their scores."""
    if kind != "matrix":
        costs, scores, every, _, sums = made(kind, seed)
        return [_another(costs, seed + 1), _another(costs, seed + 2)], scores, every, sums
    draw = np.random.default_rng(seed)
    legal = np.arange(4) < draw.integers(2, 5, 5)[:, None]
    two: list[Costs] = [
        CostMatrix(costs=np.where(legal, draw.random((5, 4)), np.inf), fixed=0.5) for _ in range(2)
    ]
    scores = np.where(legal, draw.normal(size=legal.shape), -np.inf)
    every = np.array(list(np.ndindex(*legal.sum(1))))
    return two, scores, every, scores[np.arange(5), every].sum(1)


def _joint(two: list[Costs], every: Any, shares: tuple[float, float]) -> JointCosts:
    limits = [
        Limit(label=f"{word}=1", costs=one, most=float(np.quantile(one.cost_of(every), share)))
        for word, one, share in zip(("ms", "mflops"), two, shares, strict=True)
    ]
    return JointCosts(limits=tuple(limits))


def _inside(costs: JointCosts, every: Any) -> npt.NDArray[np.bool_]:
    kept = [one.costs.cost_of(every) <= one.most for one in costs.limits]
    inside: npt.NDArray[np.bool_] = np.logical_and.reduce(kept)
    return inside


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shares=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)))
def test_the_selection_is_the_best_of_all_networks_within_all_limits(
    kind: str, seed: int, shares: tuple[float, float]
) -> None:
    two, scores, every, sums = _case(kind, seed)
    costs = _joint(two, every, shares)
    inside = _inside(costs, every)
    assert ((costs.cost_of(every) <= costs.first.most) == inside).all()
    if not inside.any():
        with pytest.raises(UsageError, match="together"):
            select_many_within(costs, scores, [costs.first.most])
        with pytest.raises(UsageError, match="together"):
            require_limits(costs.limits)
        return
    require_limits(costs.limits)
    (found,) = select_many_within(costs, scores, [costs.first.most])
    assert found.cost == costs.cost_of([found.choices])[0] <= costs.first.most
    assert found.score == pytest.approx(sums[inside].max(), abs=1e-9)
    assert found.optimal


def test_the_lowest_of_one_limit_within_another_is_stated_and_can_be_asked_for() -> None:
    two, _, every, _ = _case("matrix", 3)
    tight = _joint(two, every, (0.03, 0.03))
    first, second = tight.limits
    prices = first.costs.cost_of(every)[second.costs.cost_of(every) <= second.most]
    assert least_cost(first, [second]) == pytest.approx(prices.min())
    assert not _inside(tight, every).any()
    with pytest.raises(UsageError, match="within mflops=1 the lowest is ms=") as caught:
        require_limits(tight.limits)
    words = caught.value.message.split("the lowest is ms=")[1].split(";")[0].rstrip(".")
    assert prices.min() <= float(words) * 1e3 <= prices.min() + 0.2
    met = Limit(label="ms", costs=first.costs, most=float(words) * 1e3)
    require_limits([met, second])


def test_a_limit_that_no_network_keeps_to_alone_is_named_with_its_lowest() -> None:
    two, _, every, _ = _case("matrix", 4)
    costs = _joint(two, every, (1, 1))
    low = Limit(label="mflops=0.00000001", costs=two[1], most=0.01)
    with pytest.raises(
        UsageError, match=r"keeps to mflops=0\.00000001: the lowest is mflops=0\.00\d+\."
    ):
        require_limits([costs.first, low])


def test_of_too_many_partial_networks_the_proof_says_what_it_left_open() -> None:
    draw = np.random.default_rng(0)
    costs = [draw.random((12, 6)) for _ in range(3)]
    scores = list(draw.normal(size=(12, 6)))
    chains = [
        ChainCosts(
            fixed=0.0,
            transitions=tuple(
                Transition(costs=row[None], next_state=np.zeros((1, 6), dtype=np.int64))
                for row in one
            ),
            last=np.zeros(1),
        )
        for one in costs
    ]
    problem = make_joint_problem(scores, chains, [5.0, 5.0, 5.0])
    exact, hasty = solve(problem), solve(problem, most_partial=3)
    assert exact.bound == exact.score
    assert hasty.score <= exact.score <= hasty.bound
    assert hasty.choices is not None


@pytest.mark.parametrize("kind", KINDS)
def test_networks_within_all_limits_are_drawn_equally_often(kind: str) -> None:
    two, _, every, _ = _case(kind, 7)
    costs = _joint(two, every, (0.6, 0.7))
    inside = {tuple(row) for row in every[_inside(costs, every)].tolist()}
    sampler = sampler_of(costs, costs.first.most)
    drawn = [tuple(row) for row in sampler.draw(4000, np.random.default_rng(0)).tolist()]
    assert set(drawn) == inside
    counts = np.array([drawn.count(network) for network in inside])
    assert abs(counts / 4000 - 1 / len(inside)).max() < 5 * (1 / len(inside) / 4000) ** 0.5


@pytest.mark.parametrize("search", [random_search, evolve])
def test_the_baselines_only_try_networks_within_all_limits(search: Any) -> None:
    two, _, every, _ = _case("matrix", 9)
    costs = _joint(two, every, (0.5, 0.5))
    result = search(
        lambda networks: [float(-sum(row)) for row in networks], costs, costs.first.most, budget=20
    )
    tried = np.array([trial.choices for trial in result.history])
    assert len(tried) == min(20, int(_inside(costs, every).sum()))
    assert _inside(costs, tried).all()


def test_the_expected_cost_is_the_largest_share_and_pushes_on_that_limit() -> None:
    two, _, every, _ = _case("matrix", 11)
    costs = _joint(two, every, (0.2, 0.9))
    weights = torch.where(torch.from_numpy(costs.legal), 0.0, -torch.inf).softmax(1).double()
    alone = [float(expected_cost_of(one.costs)(weights)) / one.most for one in costs.limits]
    weights.requires_grad_()
    joint = expected_cost_of(costs)(weights)
    assert float(joint.detach()) == pytest.approx(max(alone) * costs.first.most)
    joint.backward()
    fullest = costs.limits[int(np.argmax(alone))]
    again = weights.detach().clone().requires_grad_()
    expected_cost_of(fullest.costs)(again).backward()
    ratio = costs.first.most / fullest.most
    torch.testing.assert_close(weights.grad, again.grad * ratio)


def test_the_dearest_network_is_that_of_all_and_a_whole_front_is_refused() -> None:
    two, scores, every, _ = _case("matrix", 12)
    costs = _joint(two, every, (0.5, 0.5))
    assert costs.dearest() == pytest.approx(costs.cost_of(every).max())
    assert costs.cheapest() <= costs.cost_of(every).min()
    with pytest.raises(UsageError, match="whole front"):
        front_of(costs, scores)
