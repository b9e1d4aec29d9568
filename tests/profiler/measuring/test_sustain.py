"""Networks called for minutes, on a device whose truth warms up and slows down."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.artefact import Artefact, ExportSpec
from deploy.build import build_one
from deploy.exporters.registry import exporter_entry
from deploy.verification.sustained import Sustained, SustainedMinute, sustained_seconds
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.protocol import Plan, Record, Sample
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.measuring.agents import TimingOptions, timing_settings
from profiler.measuring.sustained.sustain import Sustain
from profiler.settings import PRESETS
from search.console.progress import Silent
from search.errors import DeviceLost, UsageError
from search.spaces.registry import make_space

MINI = make_space("fbnet-mini")
SETTINGS = timing_settings(load_device("simulated"), "fp32", TimingOptions(effort=PRESETS["fast"]))
HOT = Truth(heat_slowdown=0.4, heat_s=60.0, noise=0.002, outliers=0.0, preemption=0.05)


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def networks(own_cache: Path) -> dict[str, Artefact]:
    names = ("k3_e1", "k3_e3", "k5_e6")
    made = {}
    for name in names:
        network = MINI.architecture([name] * len(MINI.layers), name)
        export = ExportSpec(name=name, operators=network.operators)
        made[name] = build_one(export, exporter_entry("simulated", "fp32"))
    return made


def _agent(truth: Truth, kind: type[SimulatedAgent] = SimulatedAgent) -> Any:
    return kind(AgentSettings(backend="simulated", threads=1, affinity=None), truth)


def _sustain(agent: Any, networks: dict[str, Artefact], progress: Silent | None = None) -> Sustain:
    return Sustain(
        artefacts=networks,
        agent=agent,
        settings=SETTINGS,
        progress=progress or Silent(),
        block_ns=20_000_000,
    )


def test_a_device_that_warms_up_is_slower_in_the_last_minute_by_what_its_truth_says(
    networks: dict[str, Artefact],
) -> None:
    said = Said()
    found = _sustain(_agent(HOT), networks, said).run(300)
    assert [one.number for one in found.minutes] == [1, 2, 3, 4, 5]
    # Means of 1 + 0.4 (1 - exp(-t / 60 s)) over the first and the fifth minute.
    first, last = 1 + 0.4 * 0.368, 1 + 0.4 * (1 - 0.632 * 0.0183)
    for ratio in found.ratios.values():
        assert ratio == pytest.approx(last / first, rel=0.03)
    heat = [one.temperature_c for one in found.minutes]
    assert heat == sorted(heat, key=lambda one: one or 0.0)
    assert heat[-1] == pytest.approx(75, abs=2)
    assert found.ended == ""
    assert len([line for line in said.lines if line.startswith("minute")]) == 4


def test_a_device_that_stays_as_it_is_has_the_ratio_one(networks: dict[str, Artefact]) -> None:
    found = _sustain(_agent(Truth(preemption=0.05)), networks).run(120)
    for ratio in found.ratios.values():
        assert ratio == pytest.approx(1, abs=0.01)
    assert found.rank_correlation == pytest.approx(1)
    assert found.minutes[0].temperature_c is None


class Interrupted(SimulatedAgent):
    """Somebody presses Ctrl-C after some blocks."""

    left = 9000

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            self.left -= isinstance(record, Sample)
            if not self.left:
                raise KeyboardInterrupt
            yield record


def test_ctrl_c_keeps_the_minutes_that_were_measured(networks: dict[str, Artefact]) -> None:
    found = _sustain(_agent(HOT, Interrupted), networks).run(3600)
    assert found.ended == "interrupted"
    assert len(found.minutes) >= 2
    assert found.ratios
    assert any("interrupted" in line for line in found.lines())


class Loose(SimulatedAgent):
    """The connection breaks in each of the first plans; with `dead` for good."""

    breaks, dead = 2, False

    def run(self, plan: Plan) -> Iterator[Record]:
        records = super().run(plan)
        yield next(records)
        if self.breaks or self.dead:
            self.breaks = max(0, self.breaks - 1)
            raise DeviceLost("The cable fell out.")
        yield from records


def test_a_connection_that_breaks_is_tried_again(networks: dict[str, Artefact]) -> None:
    found = _sustain(_agent(Truth(), Loose), networks).run(120)
    assert (len(found.minutes), found.ended) == (2, "")


def _minute(number: int, blocks: int = 30, **latency_us: float) -> SustainedMinute:
    return SustainedMinute(number=number, latency_us=latency_us, blocks=blocks)


def test_the_rank_correlation_tells_whether_the_order_stays() -> None:
    first = _minute(1, a=1.0, b=2.0, c=3.0)
    same = Sustained(asked_s=120, minutes=(first, _minute(2, a=2.0, b=3.0, c=9.0)))
    turned = Sustained(asked_s=120, minutes=(first, _minute(2, a=3.0, b=2.0, c=1.0)))
    assert same.rank_correlation == pytest.approx(1)
    assert turned.rank_correlation == pytest.approx(-1)
    two = Sustained(asked_s=120, minutes=(_minute(1, a=1.0, b=2.0), _minute(2, a=1.0, b=2.0)))
    assert two.rank_correlation is None


def test_a_last_minute_of_a_few_blocks_is_not_compared() -> None:
    minutes = (_minute(1, a=1.0), _minute(2, a=1.5), _minute(3, blocks=3, a=9.0))
    found = Sustained(asked_s=180, minutes=minutes)
    assert found.ratios == {"a": 1.5}
    assert found.last.number == 2


@pytest.mark.parametrize("text", ["10", "1m", "119s", "25h", "-3m", "ten minutes", ""])
def test_what_is_no_duration_of_minutes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--sustain .* is no duration from 2m to 24h"):
        sustained_seconds(text)


def test_durations_are_read_in_seconds_minutes_and_hours() -> None:
    assert [sustained_seconds(text) for text in ("120s", "10m", "1.5h")] == [120, 600, 5400]


@pytest.fixture
def hot_device(bench: Any) -> Callable[[], str]:
    return lambda: bench.device(heat_slowdown=0.4, heat_s=60.0, heat_spread=0.5)


def test_compare_states_ratios_and_the_rank_correlation(
    bench: Any, hot_device: Callable[[], str]
) -> None:
    import json

    words = ["compare", "FBNet-A", "FBNet-B", "FBNet-C", "--device", hot_device(), "--fast"]
    found = bench.call(*words, "--sustain", "2m", "--quiet", "--format", "json")
    assert found.code == 0, found.err
    (sustained,) = json.loads(found.out)["sustained"]
    assert set(sustained["ratios"]) == {"FBNet-A", "FBNet-B", "FBNet-C"}
    assert all(ratio > 1.05 for ratio in sustained["ratios"].values())
    assert -1 <= sustained["rank_correlation"] <= 1
    refused = bench.call("compare", "FBNet-A", "--device", hot_device(), "--sustain", "1m")
    assert refused.code == 2
