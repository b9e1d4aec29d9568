"""The statistics against blocks whose truth is known."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.analysis.blocks import TimedBlock, clock_of
from profiler.analysis.exam import bootstrap_interval
from profiler.analysis.judge import Measurement, judge
from profiler.analysis.sentinel import drift, slow_windows

TRUTH_US = 100.0
FIRST_US = 110.0
LOOPS = 10


def blocks(
    seed: Sequence[int],
    *,
    passes: int = 10,
    rounds: int = 8,
    noise: float = 0.01,
    shift: float = 0.0,
    outliers: float = 0.0,
    preempted: float = 0.0,
) -> list[TimedBlock]:
    """Blocks whose median is TRUTH_US; `shift` is drawn once a pass."""
    draw = np.random.default_rng(seed)
    found, now = [], 0
    for number in range(passes):
        level = math.exp(draw.normal(0, shift))
        for place in range(rounds):
            factor = level * math.exp(draw.normal(0, noise))
            if draw.random() < outliers:
                factor *= 1 + draw.exponential(2)
            switches = int(draw.random() < preempted)
            ns = round(TRUTH_US * 1e3 * LOOPS * factor) + switches * 4_000_000
            now += ns
            found.append(
                TimedBlock(
                    pass_number=number,
                    round=place,
                    loops=LOOPS,
                    ns=ns,
                    first_ns=round(FIRST_US * 1e3 * factor),
                    switches=switches,
                    at_ns=now,
                )
            )
    return found


def judged(found: Sequence[TimedBlock], **options: object) -> Measurement:
    result = judge(found, **{"target": 0.05, **options})  # type: ignore[arg-type]
    assert result is not None
    return result


REGIMES = {
    "noise alone": {"noise": 0.01},
    "some shift between passes": {"noise": 0.02, "shift": 0.01},
    "passes that differ more than blocks": {"noise": 0.01, "shift": 0.03},
    "outliers and preemption": {"noise": 0.02, "outliers": 0.02, "preempted": 0.05},
    "everything in few passes": {
        "noise": 0.02,
        "shift": 0.02,
        "outliers": 0.01,
        "passes": 4,
        "rounds": 6,
    },
}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_95_percent_interval_holds_the_truth_in_90_to_99_percent_of_200_repeats(
    regime: str,
) -> None:
    steady = first = 0
    for repeat in range(200):
        result = judged(blocks([2, repeat], **REGIMES[regime]), seed=repeat)  # type: ignore[arg-type]
        steady += result.low_us <= TRUTH_US <= result.high_us
        assert result.first_low_us is not None
        assert result.first_high_us is not None
        first += result.first_low_us <= FIRST_US <= result.first_high_us
    assert 180 <= steady <= 198
    assert 180 <= first <= 198


def test_the_centre_is_unbiased_over_many_repeats() -> None:
    centres = [judged(blocks([3, repeat])).centre_us for repeat in range(200)]
    assert np.mean(centres) == pytest.approx(TRUTH_US, rel=5e-4)


def test_the_interval_contains_the_centre_and_narrows_with_more_passes() -> None:
    few = judged(blocks([4], passes=5, shift=0.01))
    many = judged(blocks([4], passes=80, shift=0.01))
    assert few.low_us <= few.centre_us <= few.high_us
    assert many.relative_half_width < few.relative_half_width / 2


def test_one_wild_block_in_twenty_moves_neither_centre_nor_stability() -> None:
    clean = blocks([5])
    wild = [
        replace(block, ns=block.ns * 30) if block.round == 3 and block.pass_number % 3 else block
        for block in clean
    ]
    assert judged(wild).centre_us == pytest.approx(judged(clean).centre_us, rel=0.005)
    assert judged(wild, target=0.02).stable


def test_one_wild_block_in_a_fast_run_does_not_make_an_operator_unstable() -> None:
    clean = blocks([6], passes=4, rounds=6)
    wild = [replace(clean[0], ns=clean[0].ns * 4), *clean[1:]]
    assert judged(clean, target=0.08).stable
    assert judged(wild, target=0.08).stable


def test_preempted_blocks_are_counted_as_rejected_and_change_nothing_else() -> None:
    clean = blocks([7])
    late = [
        replace(block, round=block.round + 8, ns=block.ns * 5, switches=1) for block in clean[::2]
    ]
    with_late, without = judged([*clean, *late]), judged(clean)
    assert with_late.rejected == len(late)
    assert replace(with_late, rejected=0) == without


def test_blocks_in_slow_windows_are_rejected_whatever_they_say() -> None:
    clean = blocks([8])
    start, end = clean[16].at_ns, clean[39].at_ns
    slow = [
        replace(block, ns=block.ns * 2) if start <= block.at_ns <= end else block for block in clean
    ]
    result = judged(slow, slow_windows=[(start, end)])
    assert result.rejected == 24
    assert result.blocks == len(clean) - 24
    assert result.centre_us == pytest.approx(TRUTH_US, rel=0.01)
    assert result.stable


def test_an_item_measured_only_in_slow_windows_has_a_value_but_is_not_stable() -> None:
    found = blocks([9])
    result = judged(found, slow_windows=[(0, found[-1].at_ns)], target=0.9)
    assert result.centre_us == pytest.approx(TRUTH_US, rel=0.01)
    assert not result.stable


def test_there_is_no_judgement_without_an_undisturbed_block() -> None:
    assert judge([], target=0.05) is None
    assert judge([replace(block, switches=2) for block in blocks([10])], target=0.05) is None


def test_one_block_is_a_value_that_is_never_stable() -> None:
    (only,) = blocks([11], passes=1, rounds=1)
    result = judged([only], target=0.9)
    assert result.low_us <= result.centre_us == only.us() <= result.high_us
    assert (result.blocks, result.calls, result.passes) == (1, LOOPS, 1)
    assert not result.stable


def test_an_item_is_stable_exactly_when_its_interval_is_within_the_target() -> None:
    width = judged(blocks([12], noise=0.03)).relative_half_width
    assert judged(blocks([12], noise=0.03), target=width * 1.01).stable
    assert not judged(blocks([12], noise=0.03), target=width * 0.99).stable


def test_judging_is_reproducible() -> None:
    found = blocks([13], shift=0.02)
    assert judged(found, seed=4) == judged(found, seed=4)


def test_first_calls_are_unknown_where_the_runner_did_not_time_them() -> None:
    result = judged([replace(block, first_ns=None) for block in blocks([14])])
    assert (result.first_us, result.first_low_us, result.first_high_us) == (None, None, None)


@given(
    factors=st.lists(st.floats(0.5, 50), min_size=1, max_size=40),
    passes=st.integers(1, 9),
    level=st.floats(0.5, 0.99),
)
def test_an_interval_always_holds_its_own_centre(
    factors: list[float], passes: int, level: float
) -> None:
    found = [
        TimedBlock(
            pass_number=number % passes,
            round=number // passes,
            loops=1,
            ns=round(factor * 1e5),
            first_ns=round(factor * 2e5),
            switches=0,
            at_ns=number,
        )
        for number, factor in enumerate(factors)
    ]
    result = judged(found, level=level)
    assert 0 < result.low_us <= result.centre_us <= result.high_us < math.inf
    assert result.first_low_us is not None
    assert result.first_us is not None
    assert result.first_high_us is not None
    assert 0 < result.first_low_us <= result.first_us <= result.first_high_us


# --- the sentinel ------------------------------------------------------------


def sentinels(seed: int, number: int = 400) -> tuple[list[int], list[float]]:
    draw = np.random.default_rng(seed)
    values = TRUTH_US * np.exp(draw.normal(0, 0.01, number))
    values[draw.random(number) < 0.01] *= 3
    return [k * 1_000_000 for k in range(number)], values.tolist()


def test_plain_noise_with_single_outliers_has_no_slow_windows() -> None:
    assert [slow_windows(*sentinels(seed)) for seed in range(30)] == [[]] * 30


def test_planted_slow_windows_are_found_and_nothing_else() -> None:
    times, values = sentinels(31)
    for start, end in ((100, 130), (300, 310)):
        values[start:end] = [value * 1.4 for value in values[start:end]]
    windows = slow_windows(times, values)
    assert len(windows) == 2
    for (low, high), (start, end) in zip(windows, ((100, 130), (300, 310)), strict=True):
        assert low <= times[start] < times[end - 1] <= high
        assert times[start - 3] < low
        assert high < times[end + 2]


def test_slow_windows_do_not_depend_on_the_order_of_arrival() -> None:
    times, values = sentinels(32)
    values[50:80] = [value * 1.3 for value in values[50:80]]
    order = np.random.default_rng(0).permutation(len(times))
    shuffled = [times[k] for k in order], [values[k] for k in order]
    assert slow_windows(*shuffled) == slow_windows(times, values) != []


def test_a_handful_of_sentinels_says_nothing_of_slow_windows() -> None:
    assert slow_windows([1, 2, 3, 4], [100, 100, 300, 300]) == []
    assert slow_windows([], []) == []


def test_drift_is_the_change_from_the_first_quarter_to_the_last() -> None:
    times = [k * 1000 for k in range(100)]
    values = [TRUTH_US * (1 + 0.2 * k / 99) for k in range(100)]
    assert drift(times, values) == pytest.approx(0.15, abs=0.01)
    assert drift(times[::-1], values[::-1]) == drift(times, values)
    assert drift(times[:7], values[:7]) is None


# --- scores of whole tables --------------------------------------------------


def _mape(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(np.abs(predicted / measured - 1).mean())


def _worst(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(np.abs(predicted / measured - 1).max())


@given(
    errors=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30),
    statistic=st.sampled_from([_mape, _worst]),
    seed=st.integers(0, 2**31),
)
def test_a_score_lies_within_its_own_interval(
    errors: list[float], statistic: object, seed: int
) -> None:
    measured = np.linspace(100, 200, len(errors))
    predicted = measured * (1 + np.array(errors))
    value, low, high = bootstrap_interval(statistic, predicted, measured, seed=seed, draws=50)  # type: ignore[arg-type]
    assert low <= value <= high


def test_the_interval_of_a_score_holds_the_true_score_about_95_times_in_100() -> None:
    held, mean_absolute = 0, 0.02 * math.sqrt(2 / math.pi)
    for repeat in range(200):
        draw = np.random.default_rng([15, repeat])
        measured = draw.uniform(100, 200, 40)
        predicted = measured * (1 + draw.normal(0, 0.02, 40))
        _, low, high = bootstrap_interval(_mape, predicted, measured, seed=repeat, draws=300)
        held += low <= mean_absolute <= high
    assert 180 <= held <= 198


CLOCK_KHZ = 2_000_000


@given(seed=st.integers(0, 2**20), swing=st.floats(0.0, 0.3))
def test_blocks_at_any_clock_are_stated_at_the_clock_asked_for(seed: int, swing: float) -> None:
    draw = np.random.default_rng(seed)
    at_clock = []
    for block in blocks((seed,), noise=0.001):
        freq = round(CLOCK_KHZ * (1 + swing * draw.uniform(-1, 1)))
        slower = CLOCK_KHZ / freq
        at_clock.append(
            replace(
                block,
                ns=round(block.ns * slower),
                first_ns=round((block.first_ns or 0) * slower),
                freq_khz=freq,
            )
        )
    stated = judged(at_clock, clock_khz=CLOCK_KHZ)
    assert stated.centre_us == pytest.approx(TRUTH_US, rel=0.002)
    assert stated.first_us == pytest.approx(FIRST_US, rel=0.002)
    halved = judged(at_clock, clock_khz=CLOCK_KHZ // 2)
    assert halved.centre_us == pytest.approx(2 * TRUTH_US, rel=0.002)


def test_where_a_clock_is_unknown_times_are_as_they_came() -> None:
    found = blocks((1,))
    assert judged(found, clock_khz=CLOCK_KHZ) == judged(found)
    known = [replace(block, freq_khz=CLOCK_KHZ // 3) for block in found]
    assert judged(known) == judged(found)


def test_the_clock_of_a_run_leaves_out_disturbed_blocks() -> None:
    found = [replace(b, freq_khz=CLOCK_KHZ + k) for k, b in enumerate(blocks((2,))[:21])]
    found.append(replace(found[0], freq_khz=1, switches=1))
    clock = clock_of(found)
    assert clock is not None
    assert clock.median_khz == CLOCK_KHZ + 10
    assert (clock.low_khz, clock.high_khz) == (CLOCK_KHZ + 1, CLOCK_KHZ + 19)
    assert clock_of(blocks((3,))) is None
