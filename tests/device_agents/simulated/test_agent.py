"""The simulated device keeps to its truth, and fails as it was told to."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from device_agents.base import AgentSettings
from device_agents.protocol import Begin, Failure, Loaded, Plan, PlanItem, Record, Sample, Sentinel
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from search.errors import DeviceLost, UsageError
from search.operators.spec import OperatorSpec, parse_key

BLOCK = "ir_k3_e6_m144_g1_relu_i24_o24_h28_w28_s1_r1_p1_b1_fp32"
STRIDED = "ir_k5_e6_m144_g1_relu_i24_o32_h28_w28_s2_r0_p1_b1_fp32"
PROGRAMS = {"block": (BLOCK,), "network": (BLOCK, STRIDED), "empty": ("empty_b1_fp32",)}
SETTINGS = AgentSettings(backend="simulated", threads=1, affinity=None)
QUIET = Truth(noise=0, outliers=0, preemption=0)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    places = []
    for name, keys in PROGRAMS.items():
        place = tmp_path / f"{name}.json"
        place.write_text(json.dumps(keys))
        places.append(str(place))
    return places


def plan(files: list[str], **changes: Any) -> Plan:
    items = tuple(
        PlanItem(id=number, file=file, sha256="", loops=20) for number, file in enumerate(files)
    )
    fields = {"nonce": "n", "backend": "simulated", "threads": 1, "order_seed": 1, "rounds": 20}
    return Plan.model_validate({**fields, "items": items, **changes})


def run(truth: Truth, given: Plan) -> list[Record]:
    return list(SimulatedAgent(SETTINGS, truth).run(given))


def samples(records: list[Record], item: int | None = None) -> list[Sample]:
    return [r for r in records if isinstance(r, Sample) and item in (None, r.item)]


def specs(name: str) -> tuple[OperatorSpec, ...]:
    return tuple(parse_key(key) for key in PROGRAMS[name])


@pytest.mark.parametrize("seed", range(3))
def test_the_median_of_samples_is_the_truth_within_the_noise(seed: int, files: list[str]) -> None:
    truth = Truth(seed=seed, noise=0.02)
    records = run(truth, plan(files, rounds=400))
    for item, name in enumerate(PROGRAMS):
        us = [sample.ns / sample.loops / 1e3 for sample in samples(records, item)]
        assert len(us) == 400
        # Five standard errors of a median, and what the outliers shift it by.
        assert median(us) == pytest.approx(truth.program_us(specs(name)), rel=0.008)
        assert len(set(us)) > 300


def test_without_noise_every_block_is_the_truth_exactly(files: list[str]) -> None:
    for sample in samples(run(QUIET, plan(files))):
        expected = QUIET.program_us(specs(list(PROGRAMS)[sample.item])) * 1e3 * 20
        assert sample.ns == round(expected)


def test_a_network_costs_its_dispatch_and_the_sum_of_its_operators() -> None:
    parts = sum(QUIET.operator_us(spec) for spec in specs("network"))
    assert QUIET.program_us(specs("network")) == pytest.approx(QUIET.dispatch_us + parts)
    assert QUIET.program_us(specs("empty")) == QUIET.dispatch_us
    assert QUIET.program_us(specs("block")) > QUIET.dispatch_us + QUIET.operator_us(
        parse_key(BLOCK)
    )


def test_a_skip_is_free_and_int8_is_faster() -> None:
    assert QUIET.operator_us(parse_key("skip_i24_h28_w28_b1_fp32")) == 0
    block = parse_key(BLOCK)
    assert QUIET.operator_us(block.with_dtype("int8")) < QUIET.operator_us(block)


def test_the_same_seed_yields_the_same_records_and_another_does_not(files: list[str]) -> None:
    given = plan(files, sentinel=2, sentinel_every=2)
    assert run(Truth(seed=5), given) == run(Truth(seed=5), given)
    assert run(Truth(seed=5), given) != run(Truth(seed=6), given)


def test_throttling_raises_times_by_its_factor_and_passes(files: list[str]) -> None:
    block_s = QUIET.program_us(specs("block")) * 20 / 1e6
    truth = replace(QUIET, throttle_after_s=10 * block_s, throttle_for_s=14 * block_s)
    times = [s.ns for s in samples(run(truth, plan(files[:1], rounds=35)))]
    cool = min(times)
    hot = [number for number, ns in enumerate(times) if ns > 1.2 * cool]
    assert {round(times[number] / cool, 3) for number in hot} == {truth.throttle_factor}
    assert hot[0] in (10, 11)
    assert len(hot) in range(9, 21)
    assert any(number not in hot for number in range(hot[0], 35))


def test_drift_makes_later_blocks_slower(files: list[str]) -> None:
    truth = replace(QUIET, drift_per_s=5.0)
    times = [s.ns for s in samples(run(truth, plan(files[:1], rounds=30)))]
    assert times == sorted(times)
    assert times[-1] > 1.05 * times[0]


def test_preempted_blocks_tell_their_switches_and_are_longer(files: list[str]) -> None:
    truth = replace(QUIET, preemption=0.5)
    taken = samples(run(truth, plan(files[:1], rounds=60, max_attempts=1)))
    clean = {s.ns for s in taken if not s.switches}
    preempted = {s.ns for s in taken if s.switches}
    assert len(clean) == len(preempted) == 1
    assert min(preempted) > max(clean)
    assert {s.attempts for s in taken} == {1}


def test_preempted_blocks_are_redone_until_one_is_clean(files: list[str]) -> None:
    truth = replace(QUIET, preemption=0.5)
    taken = samples(run(truth, plan(files[:1], rounds=60, max_attempts=60)))
    assert {s.switches for s in taken} == {0}
    assert len({s.ns for s in taken}) == 1
    assert max(s.attempts for s in taken) > 2


def test_attempts_end_and_the_last_one_is_reported(files: list[str]) -> None:
    truth = replace(QUIET, preemption=1.0)
    taken = samples(run(truth, plan(files[:1], max_attempts=3)))
    assert {(s.attempts, s.switches) for s in taken} == {(3, 1)}


def test_an_unstable_operator_scatters_and_the_others_do_not(files: list[str]) -> None:
    truth = replace(QUIET, wide="_k5_")
    records = run(truth, plan(files))
    assert len({s.ns for s in samples(records, 0)}) == 1
    times = [s.ns for s in samples(records, 1)]
    assert max(times) > 1.5 * min(times)


def test_a_crash_is_a_lost_runner_while_its_operator_was_loading(files: list[str]) -> None:
    agent = SimulatedAgent(SETTINGS, replace(QUIET, crash_on="_k5_"))
    seen: list[Record] = []
    with pytest.raises(DeviceLost):
        seen.extend(agent.run(plan(files)))
    assert isinstance(seen[-1], Begin)
    assert seen[-1].item == 1
    without = list(agent.run(plan([files[0], files[2]])))
    assert len(samples(without)) == 40


def test_a_refused_operator_is_one_failure_and_the_others_go_on(files: list[str]) -> None:
    records = run(replace(QUIET, refuse="_k5_"), plan(files))
    assert [(r.item, r.kind) for r in records if isinstance(r, Failure)] == [(1, "load")]
    assert [r.item for r in records if isinstance(r, Loaded)] == [0, 2]
    assert {s.item for s in samples(records)} == {0, 2}


@pytest.mark.parametrize("content", ["", "[", "{}x", '["no_key"]', '"ab"'])
def test_a_file_that_is_no_program_is_one_failure_and_the_others_go_on(
    content: str, files: list[str]
) -> None:
    Path(files[1]).write_text(content)
    records = run(QUIET, plan(files))
    assert [(r.item, r.kind) for r in records if isinstance(r, Failure)] == [(1, "load")]
    assert {s.item for s in samples(records)} == {0, 2}


@pytest.mark.parametrize("limit", [0, 1, 5, 30])
def test_the_connection_breaks_once_after_so_many_records(limit: int, files: list[str]) -> None:
    agent = SimulatedAgent(SETTINGS, replace(QUIET, lose_after=limit))
    seen: list[Record] = []
    with pytest.raises(DeviceLost, match="not a record"):
        seen.extend(agent.run(plan(files)))
    assert len(seen) == limit
    assert len(samples(list(agent.run(plan(files))))) == 60


def test_the_sentinel_is_timed_beside_the_items(files: list[str]) -> None:
    records = run(QUIET, plan(files, sentinel=2, sentinel_every=2, rounds=5))
    sentinels = [record for record in records if isinstance(record, Sentinel)]
    assert len(sentinels) == 10
    assert {s.ns / s.loops for s in sentinels} == {QUIET.dispatch_us * 1e3}


def test_the_simulated_clock_never_goes_back(files: list[str]) -> None:
    agent = SimulatedAgent(SETTINGS, Truth())
    times = [s.at_ns for _ in range(2) for s in samples(list(agent.run(plan(files))))]
    assert times == sorted(times)
    assert times[0] > 0


def test_options_become_truth_and_an_unknown_one_is_refused_with_the_known() -> None:
    assert Truth.from_options({"noise": 0.5, "crash_on": "k5"}) == Truth(noise=0.5, crash_on="k5")
    assert Truth.from_options({}) == Truth()
    with pytest.raises(UsageError, match="no option 'moise'") as raised:
        Truth.from_options({"moise": 0.5})
    assert "noise" in raised.value.remedy


def test_it_says_that_it_is_simulated() -> None:
    agent = SimulatedAgent(SETTINGS, Truth())
    assert agent.source == "simulated"
    assert agent.info().kind == "simulated"
