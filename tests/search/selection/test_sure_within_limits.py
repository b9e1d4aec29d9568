"""A promised probability beside hard limits: never broken, and the best such network."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from search.costs.joint import Limit
from search.errors import UsageError
from search.latency.model import FEATURES, LatencyModel
from search.latency.space_costs import counted_costs
from search.selection.surely import within_limits
from search.selection.surely.latency_quantile import LatencyQuantile
from search.selection.surely.within_limits import require_sure, select_surely
from search.spaces.base import LayeredSpace
from tests.search.conftest import MakeTable
from tests.search.selection.brute import Array, Brute, few_scores, made_up_calibration


def _model(
    make_table: MakeTable, seed: int, features: Sequence[str], spread: float
) -> LatencyModel:
    return LatencyModel(make_table(calibration=made_up_calibration(seed, features, spread, 0.2)))


def _limits(space: LayeredSpace, networks: Sequence[tuple[int, ...]], share: float) -> list[Limit]:
    """On multiply-adds and parameters: as much as this share of the networks has."""
    limits = []
    for word, cost in (("mflops", "flops"), ("mparams", "params")):
        costs = counted_costs(space, cost)
        most = float(np.quantile(costs.cost_of(networks), share))
        limits.append(Limit(label=f"{word}={most / 1e6:g}", costs=costs, most=most))
    return limits


def _best(brute: Brute, limits: Sequence[Limit], target_us: float, probability: float) -> float:
    kept = np.all([one.costs.cost_of(brute.networks) <= one.most for one in limits], axis=0)
    sure = [
        score
        for score, estimate, inside in zip(brute.scores, brute.estimates, kept, strict=True)
        if inside and estimate.probability_below(target_us) >= probability
    ]
    return max(sure, default=-math.inf)


@pytest.mark.parametrize(
    ("seed", "features", "spread_us"),
    [(0, ("steady_us",), 20.0), (1, ("steady_us", "operators"), 60.0), (2, tuple(FEATURES), 40.0)],
)
def test_of_all_networks_sure_enough_within_the_limits_the_best_is_found_and_proven(
    make_table: MakeTable,
    mini: LayeredSpace,
    seed: int,
    features: Sequence[str],
    spread_us: float,
) -> None:
    model = _model(make_table, seed, features, spread_us)
    scores = few_scores(mini, seed, 3)
    brute = Brute(scores, model, mini)
    surely_us = LatencyQuantile(model, mini, scores, 0.9).of(np.array(brute.networks))
    found_any = 0
    for share in (0.3, 0.7):
        limits = _limits(mini, brute.networks, share)
        for target_us in np.quantile(surely_us, [0.01, 0.3]):
            best = _best(brute, limits, target_us, 0.9)
            if best == -math.inf:
                with pytest.raises(UsageError, match="No network"):
                    select_surely(scores, model, mini, target_us, 0.9, limits)
                continue
            found = select_surely(scores, model, mini, target_us, 0.9, limits)
            estimate = model.estimate(found.architecture(mini, "found"))
            assert estimate.probability_below(target_us) == found.probability
            assert found.probability is not None
            assert found.probability >= 0.9
            assert all(one.costs.cost_of([found.choices])[0] <= one.most for one in limits)
            assert found.score == pytest.approx(best, abs=1e-12)
            assert found.optimal
            found_any += 1
    assert found_any > 1


def test_the_lowest_target_met_so_surely_within_the_limits_is_said_and_can_be_met(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    model = _model(make_table, 1, ("steady_us", "operators"), 60.0)
    networks = Brute(few_scores(mini, 3, 3), model, mini).networks
    limits = _limits(mini, networks, 0.2)
    with pytest.raises(UsageError, match=r"No network within mflops=.* and mparams=") as caught:
        require_sure(model, mini, 1.0, 0.9, limits)
    least_ms = float(str(caught.value).split("so surely is ")[1].split(" ms")[0])
    require_sure(model, mini, least_ms * 1000, 0.9, limits)
    with pytest.raises(UsageError, match="the lowest target met so surely is"):
        require_sure(model, mini, least_ms * 990, 0.9, limits)


def test_without_time_for_a_proof_the_network_still_keeps_its_promise_and_the_gap_is_said(
    make_table: MakeTable, mini: LayeredSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model(make_table, 2, tuple(FEATURES), 60.0)
    scores = few_scores(mini, 2, 3)
    brute = Brute(scores, model, mini)
    limits = _limits(mini, brute.networks, 0.7)
    surely_us = LatencyQuantile(model, mini, scores, 0.9).of(np.array(brute.networks))
    target_us = float(np.quantile(surely_us, 0.3))
    proven = select_surely(scores, model, mini, target_us, 0.9, limits)
    monkeypatch.setattr(within_limits, "MOST_TANGENTS", 1)
    hasty = select_surely(scores, model, mini, target_us, 0.9, limits)
    assert hasty.probability is not None
    assert hasty.probability >= 0.9
    assert hasty.score <= proven.score <= hasty.bound + 1e-12


def test_limits_that_no_network_keeps_to_are_refused_whatever_the_probability(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    model = _model(make_table, 0, ("steady_us",), 20.0)
    flops = Limit(label="mflops=0.001", costs=counted_costs(mini, "flops"), most=1e3)
    scores: Array = few_scores(mini, 0, 2)
    with pytest.raises(UsageError, match=r"keeps to mflops=0\.001: the lowest is"):
        select_surely(scores, model, mini, 1e6, 0.9, [flops])
