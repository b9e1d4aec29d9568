"""The factor of a machine: recovered from noisy operators, whatever one of them does."""

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.analysis.machine_factor import (
    AnchorTime,
    MachineFactor,
    anchor_time,
    machine_factor,
    robust_centre,
)
from search.table.entries import Interval

FACTORS = st.floats(0.3, 3.0)


def anchors(
    factor: float,
    number: int = 8,
    seed: int = 0,
    noise: float = 0.007,
    sensitivities: tuple[float, ...] = (1.0,),
) -> list[AnchorTime]:
    draw = np.random.default_rng(seed)
    made = []
    for i in range(number):
        table_us, share = float(draw.uniform(5, 500)), sensitivities[i % len(sensitivities)]
        today_us = table_us * factor**share * math.exp(float(draw.normal(0, noise)))
        made.append(
            AnchorTime(
                key=f"operator {i}",
                table_us=table_us,
                today_us=today_us,
                error=noise,
                sensitivity=share,
            )
        )
    return made


def found(*args: Any, **changes: Any) -> MachineFactor:
    factor = machine_factor(anchors(*args, **changes))
    assert factor is not None
    return factor


@given(FACTORS, st.integers(3, 40))
def test_without_noise_the_factor_is_exact(factor: float, number: int) -> None:
    one = found(factor, number, noise=0.0)
    assert one.factor == pytest.approx(factor)
    assert one.low < factor * (1 + 1e-9)
    assert one.high > factor * (1 - 1e-9)
    assert one.spread == pytest.approx(0, abs=1e-9)


def test_the_interval_holds_the_factor_in_19_of_20_runs() -> None:
    held = [one.low <= 1.094 <= one.high for one in (found(1.094, seed=s) for s in range(400))]
    assert np.mean(held) >= 0.93


def test_eight_operators_tell_the_factor_far_better_than_to_1_percent() -> None:
    runs = [found(1.094, seed=s, noise=0.01) for s in range(200)]
    assert np.std([math.log(one.factor) for one in runs]) < 0.005


@given(FACTORS, st.integers(0, 50), st.randoms())
def test_the_order_of_operators_means_nothing(
    factor: float, seed: int, shuffler: random.Random
) -> None:
    times = anchors(factor, seed=seed, noise=0.02)
    shuffled = list(times)
    shuffler.shuffle(shuffled)
    assert machine_factor(times) == machine_factor(shuffled)


@given(FACTORS, st.integers(0, 50), st.floats(1.3, 50), st.booleans())
def test_one_wild_operator_does_not_move_it(
    factor: float, seed: int, wildness: float, slower: bool
) -> None:
    times = anchors(factor, seed=seed)
    wild = times[3].today_us * (wildness if slower else 1 / wildness)
    with_wild = [
        *times[:3],
        AnchorTime(key="wild", table_us=times[3].table_us, today_us=wild, error=0.007),
        *times[4:],
    ]
    moved, without = machine_factor(with_wild), machine_factor([*times[:3], *times[4:]])
    assert moved is not None
    assert without is not None
    assert moved.factor == pytest.approx(without.factor, rel=0.002)
    assert not moved.is_beyond_bounds or without.is_beyond_bounds


def test_operators_that_follow_by_other_shares_give_the_same_factor() -> None:
    one = found(1.2, noise=0.0, sensitivities=(1.0, 0.5, 1.5))
    assert one.factor == pytest.approx(1.2)
    value, low, high = one.for_sensitivity(0.5)
    assert value == pytest.approx(math.sqrt(1.2))
    assert low < value < high
    assert one.for_sensitivity(1.0) == (one.factor, one.low, one.high)


def test_operators_that_follow_no_state_say_nothing() -> None:
    assert machine_factor(anchors(1.2, 4, sensitivities=(0.0, 1.0))) is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_operators_give_no_factor(number: int) -> None:
    assert machine_factor(anchors(1.1, number)) is None


def test_wider_rows_make_a_wider_factor() -> None:
    narrow, wide = (robust_centre([0.1] * 8, [error] * 8) for error in (0.005, 0.05))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_both_intervals_are_in_an_anchors_error() -> None:
    table = Interval(centre_us=10.0, low_us=9.9, high_us=10.1)
    today = Interval(centre_us=12.0, low_us=11.4, high_us=12.6)
    one = anchor_time("k", table, today, speed=0.5)
    assert one.log_ratio == pytest.approx(math.log(0.6))
    assert one.error == pytest.approx(math.hypot(0.01, 0.05) / 1.96, rel=0.01)


def test_the_clock_is_stated_apart_from_the_factor() -> None:
    one = machine_factor(anchors(1.1, noise=0.0), table_clock_khz=4_000_000, clock_khz=3_200_000)
    assert one is not None
    assert one.clock_factor == pytest.approx(1.25)
    assert one.total == pytest.approx(1.1 * 1.25)
    unknown = found(1.1, noise=0.0)
    assert unknown.clock_factor is None
    assert unknown.total == unknown.factor


def test_a_large_common_change_or_a_large_scatter_is_beyond_the_bounds() -> None:
    assert not found(1.094).is_beyond_bounds
    assert found(1.15).is_beyond_bounds
    assert found(1 / 1.15).is_beyond_bounds
    assert found(1.0, noise=0.25, number=30).is_beyond_bounds
