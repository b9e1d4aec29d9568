"""Whole networks timed on a device with a known truth."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.artefact import ExportSpec
from device_agents.device import load_device
from device_agents.protocol import Plan, Record, Sample
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign.network_timing import NetworkTime, sentinel_of, time_networks
from profiler.measuring.agents import TimingOptions, timing_settings
from profiler.settings import PRESETS, CampaignSettings
from search.console.progress import Silent
from search.errors import DeviceError, DeviceLost, UsageError
from search.spaces.registry import make_space
from tests.profiler.conftest import Bench

SPACE = make_space("fbnet-mini")


def networks(number: int = 3) -> list[ExportSpec]:
    generator = random.Random(5)
    drawn = [SPACE.random_architecture(generator, f"net {i}") for i in range(number)]
    return [ExportSpec(name=one.name, operators=one.operators) for one in drawn]


def settings(**effort: Any) -> CampaignSettings:
    measuring = TimingOptions(effort=replace(PRESETS["fast"], **effort))
    return timing_settings(load_device("simulated"), "fp32", measuring)


class Recording(SimulatedAgent):
    """Writes down every plan; may know its clock."""

    plans: tuple[Plan, ...] = ()
    khz: int | None = None

    def run(self, plan: Plan) -> Iterator[Record]:
        self.plans += (plan,)
        for record in super().run(plan):
            known = isinstance(record, Sample) and self.khz
            yield record.model_copy(update={"freq_khz": self.khz}) if known else record


def recording(bench: Bench, truth: Truth | None = None) -> Recording:
    return Recording(bench.agent_settings(), truth or Truth())


def test_intervals_hold_the_truth_and_all_networks_are_timed_in_one_run(bench: Bench) -> None:
    agent, subjects = recording(bench), networks()
    timing = time_networks(subjects, agent, settings(), Silent())
    assert list(timing.timed) == [subject.name for subject in subjects]
    assert not timing.failed
    for subject in subjects:
        truth, timed = agent.truth.program_us(subject.operators), timing.timed[subject.name]
        assert timed.centre_us == pytest.approx(truth, rel=0.02)
        assert timed.low_us - 0.01 * truth <= truth <= timed.high_us + 0.01 * truth
        assert timed.stable
        assert timed.passes == settings().effort.passes
    assert timing.hello is not None
    assert timing.hello.runner == "simulated"


def test_loops_warm_ups_and_the_sentinel_are_those_of_a_campaign(bench: Bench) -> None:
    agent, subjects, asked = recording(bench), networks(), settings()
    time_networks(subjects, agent, asked, Silent())
    assert len(agent.plans) == asked.effort.passes
    for plan in agent.plans:
        *items, sentinel = plan.items
        assert {item.loops for item in items} == {asked.effort.network_loops}
        assert (plan.warmup, plan.rounds) == (asked.effort.warmup, asked.effort.rounds)
        assert plan.sentinel == sentinel.id
    assert len({plan.order_seed for plan in agent.plans}) > 1


def test_the_sentinel_is_an_operator_of_the_networks_that_costs_something() -> None:
    sentinel = sentinel_of(networks())
    assert len(sentinel.operators) == 1
    assert sentinel.operators[0].kind != "skip"
    assert any(sentinel.operators[0] in subject.operators for subject in networks())


def test_a_network_that_fails_is_named_and_the_others_are_timed(bench: Bench) -> None:
    subjects = networks(2)
    sentinel = sentinel_of(subjects).operators[0]
    others = {o.key for o in subjects[0].operators} | {sentinel.key}
    refused = next(o.key for o in subjects[1].operators if o.key not in others)
    timing = time_networks(subjects, recording(bench, Truth(refuse=refused)), settings(), Silent())
    assert list(timing.timed) == ["net 0"]
    assert "refused (simulated)" in timing.failed["net 1"]


def test_a_network_that_cannot_be_built_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.exporters.simulated import SimulatedExporter

    subjects, build = networks(2), SimulatedExporter.build

    def refuse(self: SimulatedExporter, subject: ExportSpec) -> object:
        if subject.name == "net 1":
            raise RuntimeError("no such kernel")
        return build(self, subject)

    monkeypatch.setattr(SimulatedExporter, "build", refuse)
    timing = time_networks(subjects, recording(bench), settings(), Silent())
    assert list(timing.timed) == ["net 0"]
    assert "no such kernel" in timing.failed["net 1"]


def test_without_a_reference_operator_nothing_is_timed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.exporters.simulated import SimulatedExporter

    def refuse(self: SimulatedExporter, subject: ExportSpec) -> object:
        raise RuntimeError("out of order")

    monkeypatch.setattr(SimulatedExporter, "build", refuse)
    with pytest.raises(DeviceError, match="sentinel could not be built"):
        time_networks(networks(), recording(bench), settings(), Silent())


def test_a_connection_that_breaks_once_costs_nothing(bench: Bench) -> None:
    agent = recording(bench, Truth(lose_after=40))
    timing = time_networks(networks(), agent, settings(), Silent())
    assert len(timing.timed) == 3
    effort = settings().effort
    most = effort.passes * effort.rounds
    assert all(most - 4 <= timed.blocks <= most for timed in timing.timed.values())


def test_a_device_that_never_answers_is_lost(bench: Bench) -> None:
    class Dead(SimulatedAgent):
        def run(self, plan: Plan) -> Iterator[Record]:
            raise DeviceLost("gone")
            yield

    with pytest.raises(DeviceLost):
        time_networks(networks(), Dead(bench.agent_settings(), Truth()), settings(), Silent())


def test_an_unsteady_network_is_not_called_stable(bench: Bench) -> None:
    subjects = networks(1)
    sentinel = sentinel_of(subjects).operators[0]
    shaky = next(operator for operator in subjects[0].operators if operator != sentinel)
    agent = recording(bench, Truth(wide=shaky.key))
    timing = time_networks(subjects, agent, settings(passes=3, extra_passes=1), Silent())
    assert not timing.timed["net 0"].stable
    assert timing.timed["net 0"].passes == 4


# --- anchors


def anchors(subjects: list[ExportSpec], number: int = 3) -> list[ExportSpec]:
    """Operators that none of the networks uses."""
    used = {operator for subject in subjects for operator in subject.operators}
    return [ExportSpec.of(one) for one in SPACE.operators if one not in used][:number]


def test_anchors_are_timed_in_the_same_run_as_a_campaign_times_operators(bench: Bench) -> None:
    agent, subjects, asked = recording(bench), networks(1), settings()
    singles = anchors(subjects)
    timing = time_networks(subjects, agent, asked, Silent(), anchors=singles)
    assert list(timing.timed) == list(timing.artefacts) == ["net 0"]
    assert set(timing.anchors) == {single.name for single in singles}
    for single in singles:
        truth = agent.truth.program_us(single.operators)
        assert timing.anchors[single.name].centre_us == pytest.approx(truth, rel=0.03)
    assert len(agent.plans) == asked.effort.passes
    for plan in agent.plans:
        *items, _ = plan.items
        assert sorted(item.loops for item in items) == [0, 0, 0, asked.effort.network_loops]


def test_anchors_may_stand_alone(bench: Bench) -> None:
    singles = anchors([])
    timing = time_networks((), recording(bench), settings(), Silent(), anchors=singles)
    assert not timing.timed
    assert not timing.failed
    assert len(timing.anchors) == len(singles)


def test_an_unsteady_anchor_causes_no_extra_pass(bench: Bench) -> None:
    subjects = networks(1)
    shaky, *_ = singles = anchors(subjects)
    agent = recording(bench, Truth(wide=shaky.name))
    timing = time_networks(subjects, agent, settings(passes=3), Silent(), anchors=singles)
    assert len(agent.plans) == 3
    assert not timing.anchors[shaky.name].stable


@pytest.mark.parametrize("fault", ["refuse", "crash_on"])
def test_an_anchor_that_fails_costs_itself_alone(bench: Bench, fault: str) -> None:
    subjects = networks(1)
    bad, *others = singles = anchors(subjects)
    agent = recording(bench, Truth(**{fault: bad.name}))  # type: ignore[arg-type]
    timing = time_networks(subjects, agent, settings(), Silent(), anchors=singles)
    assert set(timing.anchors) == {other.name for other in others}
    assert set(timing.failed_anchors) == {bad.name}
    assert timing.timed["net 0"].passes == settings().effort.passes


def test_an_anchor_that_cannot_be_built_costs_itself_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.exporters.simulated import SimulatedExporter

    subjects, build = networks(1), SimulatedExporter.build
    bad, *others = singles = anchors(subjects)

    def refuse(self: SimulatedExporter, subject: ExportSpec) -> object:
        if bad.name in subject.name:
            raise RuntimeError("no such kernel")
        return build(self, subject)

    monkeypatch.setattr(SimulatedExporter, "build", refuse)
    timing = time_networks(subjects, recording(bench), settings(), Silent(), anchors=singles)
    assert set(timing.anchors) == {other.name for other in others}
    assert "no such kernel" in timing.failed_anchors[bad.name]
    assert list(timing.timed) == ["net 0"]


def test_nothing_or_two_of_one_name_are_refused(bench: Bench) -> None:
    twice = networks(1) * 2
    for subjects in ([], twice):
        with pytest.raises(UsageError, match="named"):
            time_networks(subjects, recording(bench), settings(), Silent())


def test_the_clock_is_reported_where_a_runner_knows_it(bench: Bench) -> None:
    agent = recording(bench)
    assert time_networks(networks(1), agent, settings(), Silent()).timed["net 0"].clock_khz is None
    agent.khz = 2_000_000
    timing = time_networks(networks(1), agent, settings(), Silent())
    assert timing.timed["net 0"].clock_khz == 2_000_000
    assert timing.clock is not None


def timed(clock_khz: int | None) -> NetworkTime:
    return NetworkTime(
        name="n",
        centre_us=100.0,
        low_us=90.0,
        high_us=120.0,
        first_us=130.0,
        blocks=4,
        passes=2,
        stable=True,
        clock_khz=clock_khz,
    )


def test_at_half_the_clock_a_call_takes_twice_as_long() -> None:
    slow = timed(2_000_000).at_clock(1_000_000)
    assert (slow.centre_us, slow.low_us, slow.high_us, slow.first_us) == (200, 180, 240, 260)


@pytest.mark.parametrize(("own", "asked"), [(None, 1_000_000), (1_000_000, None), (None, None)])
def test_at_an_unknown_clock_times_stay_as_they_came(own: int | None, asked: int | None) -> None:
    assert timed(own).at_clock(asked) == timed(own)
