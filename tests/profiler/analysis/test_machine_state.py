"""The machine's state against states whose truth is known."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.protocol import CLOCK_STEP_NS
from profiler.analysis.blocks import TimedBlock
from profiler.analysis.judge import judge
from profiler.analysis.machine_state import (
    FEWEST_BLOCKS,
    NEIGHBOURS,
    THROTTLED,
    estimate_state,
)
from profiler.analysis.timeline import make_timeline

Blocks = dict[str, list[TimedBlock]]
ITEMS = 40
CENTRES_US = {f"item{number}": 20.0 * 1.12**number for number in range(ITEMS)}


def sensitivities(low: float, high: float) -> dict[str, float]:
    return dict(zip(CENTRES_US, np.linspace(low, high, ITEMS)[::-1].tolist(), strict=True))


def run(
    seed: int,
    *,
    jump: float = 0.0,
    every_ms: float = 100.0,
    noise: float = 0.01,
    sensitivity: Mapping[str, float] | None = None,
    passes: int = 8,
    throttled_pass: int | None = None,
) -> tuple[Blocks, float]:
    """Interleaved blocks of all items in two states by turns, and the mean of the log state."""
    blocks: Blocks = {name: [] for name in CENTRES_US}
    draw, now_ns, states = np.random.default_rng(seed), 0, list[float]()
    busy = draw.random(100_000) < 0.5
    for number in range(passes):
        for place in range(8):
            for name in draw.permutation(list(CENTRES_US)).tolist():
                state = math.log1p(jump) * (busy[int(now_ns / 1e6 / every_ms)] - 0.5)
                felt = (sensitivity or {}).get(name, 1.0) * state + draw.normal(0, noise)
                felt += math.log(1.6) if number == throttled_pass else 0.0
                loops = max(1, round(1000 / CENTRES_US[name]))
                ns = round(CENTRES_US[name] * 1e3 * loops * math.exp(felt))
                now_ns += ns
                states.append(state)
                blocks[name].append(
                    TimedBlock(
                        pass_number=number,
                        round=place,
                        loops=loops,
                        ns=ns,
                        first_ns=None,
                        switches=0,
                        at_ns=now_ns,
                    )
                )
    return blocks, float(np.mean(states))


def errors(blocks: Blocks, expected: Mapping[str, float]) -> np.ndarray:
    """Relative errors of the judged centres."""
    timeline = make_timeline(blocks)
    judged = {
        name: judge(own, target=0.05, slow_windows=timeline.slow)
        for name, own in timeline.blocks.items()
    }
    return np.array([j.centre_us / expected[name] - 1 for name, j in judged.items() if j])


@pytest.mark.parametrize("every_ms", [20.0, 100.0, 500.0])
def test_jumps_of_20_percent_leave_every_item_true_at_the_mean_state(every_ms: float) -> None:
    felt = sensitivities(0.4, 1.8)
    blocks, mean = run(1, jump=0.2, every_ms=every_ms, sensitivity=felt)
    expected = {name: us * math.exp(felt[name] * mean) for name, us in CENTRES_US.items()}
    assert np.abs(errors(blocks, expected)).max() < 0.015
    plain = [judge(own, target=0.05) for own in blocks.values()]
    off = [j.centre_us / us - 1 for j, us in zip(plain, expected.values(), strict=True) if j]
    assert np.abs(off).max() > 0.03  # what the state was worth


def test_each_items_sensitivity_is_found() -> None:
    felt = sensitivities(0.4, 1.8)
    state = estimate_state(run(2, jump=0.2, sensitivity=felt)[0])
    assert state is not None
    found = np.array([state.sensitivity[name] for name in felt])
    assert np.corrcoef(found, list(felt.values()))[0, 1] > 0.97
    assert found[0] / found[-1] == pytest.approx(1.8 / 0.4, rel=0.25)


@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.002, 0.01, 0.05]))
@settings(max_examples=15, deadline=None)
def test_on_a_quiet_machine_nothing_changes(seed: int, noise: float) -> None:
    blocks, _ = run(seed, noise=noise, passes=4)
    plain = {name: judge(own, target=0.05) for name, own in blocks.items()}
    timeline = make_timeline(blocks)
    for name, own in timeline.blocks.items():
        before, after = plain[name], judge(own, target=0.05, slow_windows=timeline.slow)
        assert before is not None
        assert after is not None
        assert abs(after.centre_us / before.centre_us - 1) < noise / 5


def test_a_throttled_pass_is_left_out_and_is_no_part_of_the_mean_state() -> None:
    blocks, _ = run(3, throttled_pass=2)
    timeline = make_timeline(blocks)
    (window,) = timeline.slow
    every = [block for own in blocks.values() for block in own]
    inside = [b.pass_number for b in every if window[0] <= b.at_ns <= window[1]]
    assert inside.count(2) == 8 * ITEMS
    assert len(inside) <= 8 * ITEMS + 4 * NEIGHBOURS[0]
    assert np.abs(errors(blocks, CENTRES_US)).max() < 0.02


def test_under_sustained_load_a_throttled_pass_counts_and_is_part_of_the_mean_state() -> None:
    blocks, _ = run(3, throttled_pass=2)
    timeline = make_timeline(blocks, sustained=True)
    assert timeline.slow == []
    judged = [judge(own, target=0.5) for own in timeline.blocks.values()]
    ratios = [
        one.centre_us / us for one, us in zip(judged, CENTRES_US.values(), strict=True) if one
    ]
    assert np.median(ratios) == pytest.approx(1.6 ** (1 / 8), abs=0.01)  # one pass of eight


def test_a_state_that_changes_little_leaves_no_windows() -> None:
    assert make_timeline(run(4, jump=THROTTLED - 1.05)[0]).slow == []


def test_the_order_in_which_blocks_are_given_does_not_matter() -> None:
    blocks, _ = run(5, jump=0.2, passes=3)
    shuffled = {name: blocks[name][::-1] for name in reversed(blocks)}
    one, other = estimate_state(blocks), estimate_state(shuffled)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.log_slowdown, other.log_slowdown)


def test_blocks_with_a_context_switch_tell_nothing_of_the_state() -> None:
    blocks, _ = run(6, jump=0.2, passes=3)
    spoilt = {
        name: [*own, replace(own[0], switches=1, ns=own[0].ns * 50, at_ns=own[0].at_ns + 1)]
        for name, own in blocks.items()
    }
    one, other = estimate_state(blocks), estimate_state(spoilt)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.log_slowdown, other.log_slowdown)


def test_the_state_of_one_phone_is_not_taken_for_that_of_another() -> None:
    busy, mean = run(7, jump=0.2)
    quiet, _ = run(8)
    moved = {
        f"{name} b": [replace(block, at_ns=block.at_ns + CLOCK_STEP_NS) for block in own]
        for name, own in quiet.items()
    }
    expected = {name: us * math.exp(mean) for name, us in CENTRES_US.items()}
    expected |= {f"{name} b": us for name, us in CENTRES_US.items()}
    ratios = 1 + errors({**busy, **moved}, expected)
    assert np.abs(ratios / np.median(ratios) - 1).max() < 0.015


def test_of_too_few_blocks_no_state_is_estimated() -> None:
    blocks, _ = run(9, passes=1)
    few = {name: own[: FEWEST_BLOCKS // ITEMS - 1] for name, own in blocks.items()}
    assert estimate_state(few) is None
    assert estimate_state({}) is None
    assert make_timeline(few).blocks == few


def test_blocks_without_any_scatter_have_no_state() -> None:
    state = estimate_state(run(10, noise=0.0, passes=2)[0])
    assert state is not None
    assert state.range == pytest.approx((1, 1), abs=1e-4)
