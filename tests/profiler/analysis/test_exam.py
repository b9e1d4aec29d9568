"""Calibration recovers what was planted; the exam judges by its bar."""

from collections.abc import Sequence

import numpy as np
import pytest

from profiler.analysis.exam import MIN_NETWORKS, MeasuredNetwork, calibrate, examine
from search.latency.model import estimate_from_features
from search.spaces.registry import make_space
from search.table.calibration import Calibration
from search.table.entries import Entry, Interval, OperatorCounts
from search.table.manifest import Exam

KEYS = [operator.key for operator in make_space("fbnet").operators]
INTERCEPT_US = 300.0


def entries(seed: int = 0) -> list[Entry]:
    """Rows of the whole space, with sizes and times that do not follow each other."""
    draw = np.random.default_rng(seed)
    found = []
    for key in KEYS:
        median = float(draw.uniform(50, 800))
        found.append(
            Entry(
                key=key,
                status="ok",
                time=Interval(centre_us=median, low_us=median * 0.99, high_us=median * 1.01),
                first_call=Interval(centre_us=median + float(draw.uniform(5, 60))),
                counts=OperatorCounts(
                    input_bytes=int(draw.integers(100_000, 2_000_000)),
                    output_bytes=int(draw.integers(100_000, 2_000_000)),
                    weight_bytes=int(draw.integers(1_000, 2_000_000)),
                ),
            )
        )
    return found


def networks(
    number: int,
    *,
    steady: float = 0.9,
    per_operator: float = 0.0,
    weight_mb: float = 0.0,
    noise: float = 0.005,
    seed: int = 1,
) -> list[MeasuredNetwork]:
    """Random networks of 24 operators whose times follow the planted law."""
    rows, draw, found = entries(), np.random.default_rng(seed), []
    for place in range(number):
        # Of differing length, so that the intercept can be told apart.
        chosen = [rows[k] for k in draw.integers(len(rows), size=int(draw.integers(8, 25)))]
        truth = INTERCEPT_US + sum(
            steady * row.known_time.centre_us
            + per_operator
            + weight_mb * row.counts.weight_bytes / 1e6
            for row in chosen
        )
        measured = truth * float(np.exp(draw.normal(0, noise)))
        found.append(MeasuredNetwork(name=f"n{place}", entries=tuple(chosen), measured_us=measured))
    return found


def fitted(found: Sequence[MeasuredNetwork]) -> Calibration:
    calibration = calibrate(found, seed=0)
    assert calibration is not None
    return calibration


def exam_of(
    found: Sequence[MeasuredNetwork],
    calibration: Calibration,
    *,
    bar_mape: float = 0.04,
    bar_spearman: float = 0.9,
) -> Exam:
    exam, _ = examine(found, calibration, bar_mape=bar_mape, bar_spearman=bar_spearman, seed=0)
    return exam


def mape(found: Sequence[MeasuredNetwork], calibration: Calibration) -> float:
    errors = [
        estimate_from_features(network.features(calibration.features), calibration).value_us
        / network.measured_us
        - 1
        for network in found
    ]
    return float(np.abs(errors).mean())


def test_without_noise_the_planted_intercept_and_slope_are_recovered_exactly() -> None:
    calibration = fitted(networks(20, noise=0.0))
    assert calibration.features == ("steady_us",)
    assert calibration.intercept_us == pytest.approx(INTERCEPT_US, rel=1e-6)
    assert calibration.slopes == pytest.approx((0.9,), rel=1e-6)
    assert calibration.cross_validated_mape == pytest.approx(0, abs=1e-9)


def test_with_noise_the_planted_intercept_and_slope_lie_within_four_standard_errors() -> None:
    for seed in range(20):
        calibration = fitted(networks(40, seed=seed))
        if calibration.features != ("steady_us",):
            continue
        errors = np.sqrt(np.diag(np.array(calibration.covariance)))
        assert abs(calibration.intercept_us - INTERCEPT_US) < 4 * errors[0]
        assert abs(calibration.slopes[0] - 0.9) < 4 * errors[1]


def test_a_plain_law_is_mostly_given_a_plain_model() -> None:
    chosen = [fitted(networks(40, seed=seed)).features for seed in range(20)]
    assert chosen.count(("steady_us",)) > len(chosen) / 2


def test_a_richer_law_is_found_out_and_its_slopes_recovered() -> None:
    calibration = fitted(networks(40, per_operator=-20.0, weight_mb=150.0, noise=0.0005))
    slopes = dict(zip(calibration.features, calibration.slopes, strict=True))
    assert slopes["steady_us"] == pytest.approx(0.9, abs=0.02)
    assert slopes["weight_mb"] == pytest.approx(150, rel=0.1)
    assert slopes["operators"] == pytest.approx(-20, rel=0.1)


def test_networks_held_out_are_predicted_to_within_the_noise() -> None:
    for seed in range(5):
        every = networks(60, seed=seed, noise=0.005)
        assert mape(every[30:], fitted(every[:30])) < 0.0075


def test_the_cross_validated_error_tells_the_error_on_networks_held_out() -> None:
    every = networks(240, noise=0.02)
    calibration = fitted(every[:40])
    assert calibration.cross_validated_mape == pytest.approx(mape(every[40:], calibration), rel=0.3)
    assert calibration.raw_sum_mape > 3 * calibration.cross_validated_mape


def test_95_percent_intervals_hold_about_95_percent_of_networks_held_out() -> None:
    covered = []
    for seed in range(10):
        every = networks(70, seed=seed, noise=0.02)
        covered.append(exam_of(every[20:], fitted(every[:20])).interval_coverage)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_too_few_networks_are_no_calibration() -> None:
    assert calibrate(networks(MIN_NETWORKS - 1), seed=0) is None
    assert calibrate([], seed=0) is None
    assert calibrate(networks(MIN_NETWORKS), seed=0) is not None


def test_calibrating_is_reproducible() -> None:
    assert calibrate(networks(20), seed=3) == calibrate(networks(20), seed=3)


def test_the_verdict_follows_the_bar_on_the_error() -> None:
    every = networks(40, noise=0.02)
    calibration = fitted(every[:20])
    error = exam_of(every[20:], calibration).mape.value
    assert exam_of(every[20:], calibration, bar_mape=error * 1.01).passed
    assert not exam_of(every[20:], calibration, bar_mape=error * 0.99).passed


def test_the_verdict_follows_the_bar_on_the_rank_correlation() -> None:
    every = networks(40, noise=0.05)
    calibration = fitted(every[:20])
    rank = exam_of(every[20:], calibration, bar_mape=1).spearman.value
    assert 0.9 < rank < 1
    assert exam_of(every[20:], calibration, bar_mape=1, bar_spearman=rank - 1e-9).passed
    assert not exam_of(every[20:], calibration, bar_mape=1, bar_spearman=rank + 1e-9).passed


def test_the_scores_of_an_exam_are_those_computed_by_hand() -> None:
    law = fitted(networks(20, noise=0.0))
    base = networks(4, noise=0.0, seed=9)
    factors = (1.0, 1 / 1.04, 1 / 1.08, 1 / 1.2)
    found = [
        MeasuredNetwork(name=n.name, entries=n.entries, measured_us=n.measured_us * factor)
        for n, factor in zip(base, factors, strict=True)
    ]
    exam, rows = examine(found, law, bar_mape=0.1, bar_spearman=0.1, seed=0)
    assert exam.mape.value == pytest.approx((0 + 0.04 + 0.08 + 0.2) / 4)
    assert exam.max_relative_error == pytest.approx(0.2)
    assert exam.within_5_percent.value == 0.5
    assert exam.within_10_percent.value == 0.75
    assert exam.networks == len(rows) == 4
    assert rows["measured_us"].tolist() == [n.measured_us for n in found]
    assert rows["predicted_us"].tolist() == pytest.approx([n.measured_us for n in base])
    assert (rows["predicted_low_us"] <= rows["predicted_us"]).all()
    assert (rows["predicted_us"] <= rows["predicted_high_us"]).all()


def test_networks_that_all_take_the_same_time_have_no_rank_correlation() -> None:
    law = fitted(networks(20, noise=0.0))
    one = networks(1, noise=0.0)[0]
    exam = exam_of([one, one, one, one], law)
    assert exam.spearman.value == 0
    assert not exam.passed
