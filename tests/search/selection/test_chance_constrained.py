"""Selection with a promised probability: never below it, and the best such network."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from search.errors import TableError, UsageError
from search.latency.model import FEATURES, LatencyModel
from search.selection.exact import network_of, select
from search.selection.scores import Scores
from search.selection.surely.chance_constrained import select_chance_constrained
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.store import read_table
from tests.search.conftest import MakeTable
from tests.search.selection.brute import SUMMED, Brute, few_scores, made_up_calibration

ROOT = Path(__file__).resolve().parents[3]
Array = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    ("seed", "features", "spread_us", "residual"),
    [
        (0, ("steady_us",), 20.0, 0.1),
        (1, ("steady_us", "operators"), 60.0, 0.0),
        (2, tuple(FEATURES), 5.0, 0.02),
        (3, tuple(FEATURES), 20.0, 0.3),
        (4, ("steady_us", "weight_mb", "moved_mb"), 60.0, 0.0),
        (5, tuple(FEATURES), 60.0, 0.0),
    ],
)
def test_of_all_networks_that_are_sure_enough_the_best_is_found_and_proven(
    make_table: MakeTable,
    mini: LayeredSpace,
    seed: int,
    features: Sequence[str],
    spread_us: float,
    residual: float,
) -> None:
    model = LatencyModel(
        make_table(calibration=made_up_calibration(seed, features, spread_us, residual))
    )
    scores = few_scores(mini, seed, 3)
    brute = Brute(scores, model, mini)
    values = sorted(estimate.value_us for estimate in brute.estimates)
    found_any = 0
    for probability in (0.5, 0.8, 0.99):
        for target_us in np.quantile(values, [0.05, 0.3, 0.6, 0.9]) * 1.4:
            best = brute.best(target_us, probability)
            if best is None:
                with pytest.raises(UsageError, match="No network"):
                    select_chance_constrained(scores, model, mini, target_us, probability)
                continue
            found = select_chance_constrained(scores, model, mini, target_us, probability)
            estimate = model.estimate(found.architecture(mini, "found"))
            assert estimate.probability_below(target_us) == found.probability
            assert found.probability is not None
            assert found.probability >= probability
            assert found.score == pytest.approx(best, abs=1e-12)
            assert found.optimal
            found_any += 1
    assert found_any > 3


def test_candidates_that_a_tangent_undervalues_are_tried_as_well(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    # Uncertainty as large as the latency: tangents at two networks disagree
    # on which candidate of a layer is the cheaper one.
    model = LatencyModel(make_table(112, made_up_calibration(112, tuple(FEATURES), 100.0, 0.0)))
    scores = few_scores(mini, 112, 3)
    target_us = 6 * model.cost_matrix(mini).cheapest()
    found = select_chance_constrained(scores, model, mini, target_us, 0.9)
    assert found.optimal
    assert found.score == pytest.approx(Brute(scores, model, mini).best(target_us, 0.9))


def test_a_probability_that_is_missed_by_the_last_digits_is_missed(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    model = LatencyModel(make_table(calibration=made_up_calibration(0, ("steady_us",), 5.0, 0.1)))
    scores = few_scores(mini, 0, 3)
    roomy_us = 3 * model.cost_matrix(mini).cheapest()
    first = select_chance_constrained(scores, model, mini, roomy_us, 0.9)
    estimate = model.estimate(first.architecture(mini, "first"))
    low_us, high_us = estimate.value_us, roomy_us
    while low_us < (middle_us := (low_us + high_us) / 2) < high_us:
        if estimate.probability_below(middle_us) >= 0.9:
            high_us = middle_us
        else:
            low_us = middle_us
    same = select_chance_constrained(scores, model, mini, high_us, 0.9)
    assert same.choices == first.choices
    for target_us in (low_us, low_us * (1 - 1e-12), low_us * (1 - 1e-10)):
        other = select_chance_constrained(scores, model, mini, target_us, 0.9)
        assert other.probability is not None
        assert other.probability >= 0.9
        assert other.score < first.score


@pytest.mark.parametrize("seed", range(4))
def test_with_all_candidates_the_probability_is_never_missed(
    make_table: MakeTable, mini: LayeredSpace, seed: int
) -> None:
    model = LatencyModel(make_table(seed, made_up_calibration(seed, tuple(FEATURES), 5.0, 0.1)))
    costs = model.cost_matrix(mini)
    scores = few_scores(mini, seed, 9)
    for target_us in np.array([4.0, 6.0, 9.0]) * costs.cheapest():
        plain = select(scores, costs, target_us)
        previous = plain.score
        for probability in (0.6, 0.9, 0.99):
            found = select_chance_constrained(scores, model, mini, target_us, probability)
            estimate = model.estimate(network_of(mini, found.choices, "found"))
            assert estimate.probability_below(target_us) >= probability
            assert found.cost == costs.cost_of([found.choices])[0] <= target_us
            assert found.score <= found.bound <= previous + 1e-9
            assert found.optimal
            previous = found.score


def test_a_result_that_is_not_proven_keeps_an_honest_bound(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    unproven = worse = 0
    for seed in range(120):
        model = LatencyModel(make_table(seed, made_up_calibration(seed, SUMMED, 60.0, 0.0)))
        scores = few_scores(mini, seed, 9)
        target_us = 4 * model.cost_matrix(mini).cheapest()
        try:
            hasty = select_chance_constrained(scores, model, mini, target_us, 0.9, most_networks=1)
        except UsageError:
            continue
        best = select_chance_constrained(scores, model, mini, target_us, 0.9)
        assert hasty.probability is not None
        assert hasty.probability >= 0.9
        assert hasty.score <= best.score <= hasty.bound + 1e-9
        unproven += not hasty.optimal
        worse += hasty.score < best.score
    assert unproven >= worse > 0


def test_without_an_interval_the_result_is_the_plain_selection(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    model = LatencyModel(make_table())
    costs = model.cost_matrix(mini)
    scores = Scores(values=few_scores(mini, 0, 9), space=mini.spec, origin="made up")
    target_us = 2 * costs.cheapest()
    sure = select_chance_constrained(scores, model, mini, target_us, 0.99)
    plain = select(scores, costs, target_us)
    assert (sure.choices, sure.score) == (plain.choices, plain.score)
    assert sure.cost == pytest.approx(plain.cost)
    assert sure.probability == 1.0


def test_an_impossible_promise_is_told_the_lowest_possible_target_which_then_works(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    model = LatencyModel(make_table(calibration=made_up_calibration(0, ("steady_us",), 5.0, 0.2)))
    scores = few_scores(mini, 0, 3)
    brute = Brute(scores, model, mini)
    target_us = min(estimate.value_us for estimate in brute.estimates) * 1.05
    assert select_chance_constrained(scores, model, mini, target_us, 0.5).cost <= target_us
    with pytest.raises(UsageError, match="lowest target met so surely") as caught:
        select_chance_constrained(scores, model, mini, target_us, 0.95)
    told = re.search(r"is ([\d.]+) ms \(([\d.]+) us\)", caught.value.message)
    assert told is not None
    least_us = float(told[2])
    assert float(told[1]) * 1e3 == pytest.approx(least_us)
    found = select_chance_constrained(scores, model, mini, least_us, 0.95)
    assert found.probability is not None
    assert found.probability >= 0.95
    assert brute.best(least_us - 0.2, 0.95) is None


@pytest.mark.parametrize("probability", [-1.0, 0.0, 0.49, 1.0, 1.5, math.nan])
def test_a_probability_out_of_range_is_refused(
    make_table: MakeTable, mini: LayeredSpace, probability: float
) -> None:
    with pytest.raises(UsageError, match=r"at least 0\.5 and below 1"):
        select_chance_constrained(
            few_scores(mini, 0, 9), LatencyModel(make_table()), mini, 1e4, probability
        )


def test_a_target_that_is_no_number_is_refused(make_table: MakeTable, mini: LayeredSpace) -> None:
    with pytest.raises(UsageError, match="not a number"):
        select_chance_constrained(
            few_scores(mini, 0, 9), LatencyModel(make_table()), mini, math.nan, 0.9
        )


def test_a_covariance_with_a_negative_variance_is_refused(
    make_table: MakeTable, mini: LayeredSpace
) -> None:
    broken = made_up_calibration(0, ("steady_us",)).model_copy(
        update={"covariance": ((1.0, 0.0), (0.0, -1.0))}
    )
    model = LatencyModel(make_table(calibration=broken))
    with pytest.raises(TableError, match="negative variance"):
        select_chance_constrained(few_scores(mini, 0, 9), model, mini, 1e4, 0.9)


def test_scores_of_another_space_are_refused(make_table: MakeTable, mini: LayeredSpace) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        select_chance_constrained(np.zeros((2, 2)), LatencyModel(make_table()), mini, 1e4, 0.9)


TABLES = sorted(path.parent for path in (ROOT / "tables").glob("*/fbnet-r224-*/manifest.json"))


@pytest.mark.parametrize("folder", TABLES, ids=lambda folder: folder.name)
def test_on_measured_tables_the_best_of_22_layers_is_proven(folder: Path) -> None:
    model = LatencyModel(read_table(folder))
    space = parse_space(model.table.manifest.space.spec)
    costs = model.cost_matrix(space)
    noise = np.random.default_rng(0).normal(size=costs.costs.shape)
    scores = np.where(np.isfinite(costs.costs), 0.01 * costs.costs + noise, -math.inf)
    for share in (1.5, 3.0, 6.0):
        target_us = share * costs.cheapest()
        plain = select(scores, costs, target_us)
        sure = select_chance_constrained(scores, model, space, target_us, 0.95)
        assert sure.optimal
        assert sure.probability is not None
        assert sure.probability >= 0.95
        assert sure.cost < target_us
        assert sure.score <= plain.score
