"""Selection and sampling where layers hand a width on: exact, as for independent layers."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.costs.base import Costs, CostTarget, Unit
from search.costs.chain import ChainCosts, Transition
from search.costs.factors import Factor, FactorCosts
from search.costs.matrix import CostMatrix
from search.costs.pairs import paired_costs
from search.errors import UsageError
from search.latency.model import LatencyModel
from search.selection.along_chain import select_many_along_chain
from search.selection.by_costs import (
    front_of,
    sample_between,
    sampler_of,
    select_many_within,
    select_within,
)
from search.selection.exact import network_of
from search.selection.surely.chance_constrained import select_chance_constrained
from search.spaces.registry import make_space
from search.table.calibration import Calibration
from search.table.store import read_table
from tests.search.cli.runner import write

Array = npt.NDArray[np.float64]
KINDS = ("chain", "factors", "pairs")


def chain_of(draw: np.random.Generator, whole: bool) -> ChainCosts:
    """Four layers of up to four candidates over up to three widths."""
    inputs, transitions = 1, []
    for _ in range(4):
        shape, left = (inputs, int(draw.integers(2, 5))), int(draw.integers(1, 4))
        costs = draw.integers(0, 6, shape).astype(float) if whole else draw.normal(size=shape)
        transitions.append(Transition(costs=costs, next_state=draw.integers(0, left, shape)))
        inputs = left
    last = draw.integers(0, 4, inputs).astype(float)
    return ChainCosts(fixed=3.0, transitions=tuple(transitions), last=last)


def factors_of(draw: np.random.Generator, whole: bool) -> FactorCosts:
    """Five variables; the first concerns all, the others their neighbours."""
    widths = tuple(int(width) for width in draw.integers(2, 4, 5))
    factors = []
    for variables in ((0,), (0, 1), (1, 2), (0, 2, 3), (3, 4), (1,)):
        shape = [widths[variable] for variable in variables]
        values = draw.integers(0, 6, shape).astype(float) if whole else draw.normal(size=shape)
        factors.append(Factor(variables=variables, values=values))
    return FactorCosts(widths=widths, fixed=3.0, factors=tuple(factors))


def pairs_of(draw: np.random.Generator, whole: bool) -> Costs:
    """Five layers, some of which cost more or less after the one before."""
    widths = draw.integers(2, 4, 5)
    costs = np.full((5, widths.max()), np.inf)
    for row, width in zip(costs, widths, strict=True):
        row[:width] = draw.integers(0, 6, width) if whole else draw.normal(size=width)
    shapes = {layer: tuple(widths[layer : layer + 2]) for layer in (0, 2, 3)}
    pairs = {
        layer: draw.integers(-3, 3, shape).astype(float) if whole else draw.normal(size=shape)
        for layer, shape in shapes.items()
    }
    return paired_costs(CostMatrix(costs=costs, fixed=3.0), pairs)


MAKERS: dict[str, Callable[[np.random.Generator, bool], Costs]] = {
    "chain": chain_of,
    "factors": factors_of,
    "pairs": pairs_of,
}


def made(kind: str, seed: int) -> tuple[Costs, Array, Any, Array, Array]:
    """Costs, scores, and all networks with theirs; of even seeds in whole numbers."""
    draw, whole = np.random.default_rng(seed), seed % 2 == 0
    costs = MAKERS[kind](draw, whole)
    drawn = (
        draw.integers(-5, 1, costs.legal.shape) if whole else draw.normal(size=costs.legal.shape)
    )
    scores = np.where(costs.legal, drawn, -np.inf).astype(float)
    every = np.array(list(itertools.product(*(range(n) for n in costs.legal.sum(axis=1)))))
    sums = scores[np.arange(every.shape[1]), every].sum(axis=1)
    return costs, scores, every, costs.cost_of(every), sums


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1.1))
def test_the_selection_is_the_best_of_all_networks_within_the_target(
    kind: str, seed: int, share: float
) -> None:
    costs, scores, _, totals, sums = made(kind, seed)
    assert costs.cheapest() == pytest.approx(totals.min())
    target = float(totals.min() + share * (totals.max() - totals.min()))
    (found,) = select_many_within(costs, scores, [target])
    assert found.cost == costs.cost_of([found.choices])[0] <= target
    assert found.score == pytest.approx(sums[totals <= target].max(), abs=1e-9)
    assert found.optimal


@pytest.mark.parametrize("kind", KINDS)
def test_several_targets_are_those_one_by_one(kind: str) -> None:
    costs, scores, _, totals, _ = made(kind, 3)
    targets = [float(np.quantile(totals, share)) for share in (0.1, 0.5, 0.9)]
    assert select_many_within(costs, scores, targets) == tuple(
        select_many_within(costs, scores, [target])[0] for target in targets
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_the_front_is_that_of_all_networks(kind: str, seed: int) -> None:
    costs, scores, _, totals, sums = made(kind, seed)
    best: dict[float, float] = {}
    for total, score in sorted(zip(totals.tolist(), sums.tolist(), strict=True)):
        highest = max(best.values(), default=-math.inf)
        if score > highest + 1e-9:
            best[round(total, 9)] = score
    found = front_of(costs, scores)
    assert [round(one.cost, 9) for one in found] == list(best)
    assert [one.score for one in found] == pytest.approx(list(best.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_a_band_are_drawn_by_their_weights(kind: str) -> None:
    costs, _, every, totals, _ = made(kind, 5)
    low, high = (float(np.quantile(totals, share)) for share in (0.4, 0.6))
    weights = np.where(costs.legal, np.random.default_rng(0).uniform(0.5, 2, costs.legal.shape), 0)
    drawn = sample_between(costs, weights, (low, high), 20_000, np.random.default_rng(1))
    inside = every[(low <= totals) & (totals <= high)]
    shares = weights[np.arange(every.shape[1]), inside].prod(axis=1)
    found = np.array([(drawn == network).all(axis=1).mean() for network in inside])
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(shares / shares.sum(), abs=0.02)


def test_networks_too_many_to_list_are_drawn_uniformly_on_a_grid() -> None:
    space = make_space("fp-nas-mini", resolution=16)
    costs = space.costs(lambda operator: float(operator.mid_channels + operator.kernel), 7.0)
    middle = float(np.median(costs.cost_of(_random(costs, 4000))))
    sampler = sampler_of(costs, middle)
    assert sampler.listed is None
    drawn = sampler.draw(4000, np.random.default_rng(1))
    assert costs.cost_of(drawn).max() <= middle
    plain = _random(costs, 40_000)
    plain = plain[costs.cost_of(plain) <= middle]
    for layer in range(drawn.shape[1]):
        wanted = np.bincount(plain[:, layer], minlength=costs.legal.shape[1]) / len(plain)
        found = np.bincount(drawn[:, layer], minlength=costs.legal.shape[1]) / len(drawn)
        assert np.abs(found - wanted).max() < 0.04


def _random(costs: Costs, number: int) -> npt.NDArray[np.int64]:
    generator = np.random.default_rng(7)
    return np.stack([generator.integers(0, n, number) for n in costs.legal.sum(axis=1)], axis=1)


@pytest.mark.parametrize("name", ["fp-nas-f", "fbnetv2-mini-free"])
def test_a_space_of_the_papers_size_is_solved_to_the_optimum(name: str) -> None:
    costs = make_space(name).costs(
        lambda operator: float(operator.mid_channels * operator.height + operator.kernel)
    )
    drawn = np.random.default_rng(0).normal(size=costs.legal.shape)
    scores = np.where(costs.legal, drawn, -np.inf)
    best = float(costs.cost_of([scores.argmax(axis=1)])[0])
    target = costs.cheapest() + 0.4 * (best - costs.cheapest())
    (found,) = select_many_within(costs, scores, [target])
    assert found.optimal
    assert found.cost <= target


def test_too_few_states_still_meet_the_target_and_state_the_gap() -> None:
    costs = make_space("fp-nas-mini").costs(lambda operator: float(operator.mid_channels))
    drawn = np.random.default_rng(0).normal(size=costs.legal.shape)
    scores = np.where(costs.legal, drawn, -np.inf)
    assert isinstance(costs, ChainCosts)
    target = 1.3 * costs.cheapest()
    (best,) = select_many_along_chain(scores, costs, [target])
    (found,) = select_many_along_chain(scores, costs, [target], most_states=2)
    assert found.cost <= target
    assert found.score <= best.score <= found.bound + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_met_or_does_not_fit_is_refused(kind: str) -> None:
    costs, scores, _, totals, _ = made(kind, 1)
    low = float(totals.min()) - 1
    with pytest.raises(UsageError, match="fastest possible"):
        select_within(costs, scores, CostTarget(value=low, unit=Unit.US))
    with pytest.raises(UsageError, match="fastest possible"):
        sampler_of(costs, low)
    with pytest.raises(UsageError, match="do not fit"):
        select_many_within(costs, scores[:, :-1], [1e3])
    with pytest.raises(UsageError, match="not a usable number"):
        select_many_within(costs, np.where(costs.legal, np.nan, -np.inf), [1e3])
    with pytest.raises(UsageError, match="not a number"):
        select_many_within(costs, scores, [math.nan])


# --- with a probability ------------------------------------------------------

CALIBRATION = Calibration(
    features=("steady_us", "operators"),
    slopes=(0.9, 3.0),
    intercept_us=-20.0,
    covariance=((90.0, -0.2, -1.0), (-0.2, 0.002, 0.01), (-1.0, 0.01, 0.4)),
    networks=10,
    relative_residual=0.03,
    interval_factor=2.2,
    cross_validated_mape=0.01,
    raw_sum_mape=0.1,
    method="made up",
)


@pytest.mark.parametrize("name", ["fp-nas-mini", "fbnetv2-mini"])
def test_a_probability_is_kept_on_every_space_and_nothing_surer_scores_higher(
    tmp_path: Path, name: str
) -> None:
    space = make_space(name, resolution=32)
    folder = write(tmp_path / "table", space=space, calibration=CALIBRATION)
    model = LatencyModel(read_table(folder))
    costs = model.space_costs(space)
    drawn = np.random.default_rng(0).normal(size=costs.legal.shape)
    scores = np.where(costs.legal, drawn, -np.inf)
    best = float(costs.cost_of([scores.argmax(axis=1)])[0])
    target = costs.cheapest() + 0.5 * (best - costs.cheapest())
    found = select_chance_constrained(scores, model, space, target, 0.9)
    estimate = model.estimate(network_of(space, found.choices, "found"))
    assert estimate.probability_below(target) >= 0.9
    assert found.optimal
    plain = select_many_within(costs, scores, [target])[0]
    assert found.score <= plain.score
