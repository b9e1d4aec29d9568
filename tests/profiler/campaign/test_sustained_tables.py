"""Tables of the sustained state, on a device whose truth warms up, slows down and recovers."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from device_agents.protocol import Plan, dump_plan
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.measuring.sustained.sustain import Sustain
from profiler.tables.diff import compare_tables
from profiler.tables.summary import summary
from search.architecture import write_architecture
from search.errors import DeviceLost, UsageError
from search.spaces.registry import make_space
from search.table.query import find_table, list_tables
from search.table.store import Table, profile_command, read_table
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")
# It cools while each runner starts, so that it must be loaded again before each pass.
HOT = Truth(heat_slowdown=0.4, heat_s=30.0, start_s=0.2, noise=0.003, outliers=0.0)
LOAD_S = 300.0
# Under load for ten times `heat_s`, then cooled for one start of a runner or two.
_HEAT = (0.85, 1.0)
HOT_OPTIONS = {"heat_slowdown": 0.4, "heat_s": 30.0, "start_s": 0.2}


@pytest.fixture(scope="module", autouse=True)
def long_blocks() -> Iterator[None]:
    """A simulated device is as busy in a few long blocks as in many short ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("profiler.measuring.sustained.heating.BLOCK_NS", 500_000_000)
        longer = partial(Sustain, block_ns=100_000_000)
        patch.setattr("profiler.comparison.sources.Sustain", longer)
        yield


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, bench_at: Any) -> tuple[Table, Table]:
    """A table of the burst and one of the sustained state of one device."""
    with bench_at(tmp_path_factory.mktemp("states")) as bench:
        return (
            bench.measure(HOT),
            bench.measure(HOT, bench.settings(sustain_s=LOAD_S)),
        )


def test_rows_of_each_state_are_what_the_truth_says_of_it(both: tuple[Table, Table]) -> None:
    for table, (low, high) in zip(both, ((0.0, 0.02), _HEAT), strict=True):
        for entry in table.entries:
            cold_us = HOT.program_us((entry.operator,))
            ratio = entry.known_time.centre_us / cold_us
            assert 1 + 0.4 * low - 0.02 < ratio < 1 + 0.4 * high + 0.02


def test_a_table_of_the_sustained_state_predicts_networks_of_that_state(
    both: tuple[Table, Table],
) -> None:
    burst, sustained = both
    for table in both:
        assert table.manifest.exam is not None
        assert table.manifest.exam.passed
    ratio = sustained.exam["measured_us"].median() / burst.exam["measured_us"].median()
    assert ratio == pytest.approx(1.4, abs=0.06)


def test_it_is_a_table_of_its_own_that_says_under_which_load_it_was_measured(
    both: tuple[Table, Table],
) -> None:
    burst, sustained = both
    assert burst.manifest.title.endswith("-t1-v1")
    assert sustained.manifest.title.endswith("-t1-sustained-v1")
    assert (burst.manifest.load_state, sustained.manifest.load_state) == ("burst", "sustained")
    load = sustained.manifest.protocol.sustained
    assert load is not None
    assert load.load_s == LOAD_S
    # Of 1 + 0.4 (1 - exp(-t / 30 s)), the means over the fifth minute and the first.
    assert load.slowdown == pytest.approx(1.4 / (1 + 0.4 * (1 - 0.43)), abs=0.02)
    assert load.last_change == pytest.approx(1, abs=0.01)
    assert load.temperature_last_c == pytest.approx(75, abs=1)
    assert load.temperature_first_c is not None
    assert load.temperature_first_c < load.temperature_last_c
    assert sustained.manifest.parent_id is None
    shown = "\n".join(summary(sustained))
    assert "SUSTAINED: under load for 5 min" in shown
    assert "SUSTAINED" not in "\n".join(summary(burst))
    assert profile_command(sustained.manifest).endswith(" --sustain 300s")
    assert "--sustain" not in profile_command(burst.manifest)


def test_words_choose_a_table_by_its_state(both: tuple[Table, Table]) -> None:
    root = both[0].path.parents[1]
    assert [table.state for table in list_tables(root)] == ["sustained", "burst"]
    assert find_table("sustained", root) == both[1].path
    assert find_table("burst", root) == both[0].path


def test_a_difference_between_the_states_is_named(both: tuple[Table, Table]) -> None:
    difference = compare_tables(*both)
    assert "state: burst -> sustained" in difference.identity
    assert difference.common_kind == "kept"
    assert difference.common_change == pytest.approx(0.38, abs=0.05)


class Starts(SimulatedAgent):
    """Keeps the plans that it was given, and loses the first timed pass if it is to."""

    def __init__(self, *arguments: Any, lose: bool = False) -> None:
        super().__init__(*arguments)
        self.plans: list[Plan] = []
        self.lose = lose

    def run(self, plan: Plan) -> Any:
        self.plans.append(plan)
        if self.lose and plan.sentinel is not None:
            raise DeviceLost("The cable fell out.")
        return super().run(plan)


def test_a_campaign_of_the_burst_may_cool_and_one_under_load_may_not(bench: Bench) -> None:
    cool = []
    for sustain_s in (None, 120.0):
        agent = Starts(bench.agent_settings(), HOT)
        bench.measure(agent=agent, settings=bench.settings(sustain_s=sustain_s, passes=2))
        timed = [plan for plan in agent.plans if plan.sentinel is not None]
        loads = [plan for plan in agent.plans if plan.rounds and plan.sentinel is None]
        cool.append({plan.cool for plan in timed})
        if sustain_s:
            first = agent.plans.index(timed[0])
            assert loads
            assert agent.plans[0] in loads
            assert any(
                plan in loads for plan in agent.plans[first + 1 : agent.plans.index(timed[1])]
            )
    assert cool == [{True}, {False}]


def test_whether_a_device_may_cool_is_no_word_on_the_wire() -> None:
    plan = Plan(nonce="n", backend="b", threads=1, order_seed=0, rounds=0, cool=False, items=())
    assert "cool" not in json.loads(dump_plan(plan))


def test_a_campaign_that_goes_on_loads_the_device_anew(bench: Bench) -> None:
    settings = bench.settings(sustain_s=120.0, passes=2)
    lost = Starts(bench.agent_settings(), HOT, lose=True)
    with pytest.raises(DeviceLost):
        bench.measure(agent=lost, settings=settings)
    again = Starts(bench.agent_settings(), HOT)
    table = bench.measure(agent=again, settings=settings, resume=True)
    assert again.plans[0].sentinel is None
    assert table.manifest.protocol.sustained is not None


def test_a_device_that_had_not_settled_is_noted(bench: Bench) -> None:
    slow = Truth(heat_slowdown=2.0, heat_s=600.0, outliers=0.0)
    table = bench.measure(slow, bench.settings(sustain_s=120.0))
    assert any("had not settled under load" in note for note in table.manifest.notes)


# --- as a user


def test_a_table_is_measured_listed_and_compared_with_the_last_minute(bench: Bench) -> None:
    device = bench.device(**HOT_OPTIONS)
    made = bench.call(*bench.words("--sustain", "3m", "--quiet", device=device))
    assert made.code == 0, made.err
    assert "SUSTAINED: under load for 3 min" in made.out
    (folder,) = bench.written()
    assert read_table(folder).manifest.load_state == "sustained"
    listed = bench.call("tables", "--tables", str(bench.output))
    assert "[simulated, sustained]" in listed.out
    net = bench.folder / "net.json"
    write_architecture(MINI.architecture(["k3_e3"] * len(MINI.layers), "net"), net)
    words = ["compare", str(net), "--device", device, "--table", str(folder), "--fast", "--quiet"]
    found = bench.call(*words, "--sustain", "3m", "--format", "json")
    assert found.code == 0, found.err
    (agreement,) = json.loads(found.out)["agreements"]
    assert agreement["minute"] == 3
    assert abs(agreement["difference"]) < 0.04
    cold = bench.call(*words, "--format", "json")
    assert json.loads(cold.out)["agreements"] == []


REFUSED = {
    "a rest between passes": (["--cooldown", "3"], "--cooldown"),
    "a limit of the temperature": (["--max-temp", "40"], "--max-temp"),
    "less than two minutes": ([], "no duration from 2m to 24h"),
    "an iPhone": (["--device", "iphonex"], "iPhone"),
    "several phones": (["--device", "android", "--serial", "A,B"], "one phone"),
    "a farm": (["--device", "android", "--farm", "127.0.0.1:1"], "one phone"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_under_load_is_refused_before_anything_runs(
    bench: Bench, case: str
) -> None:
    words, says = REFUSED[case]
    typed = "1m" if case == "less than two minutes" else "10m"
    base = [] if "--device" in words else ["--device", "simulated"]
    found = bench.call(*base, "--space", "fbnet-mini", "--sustain", typed, *words)
    assert found.code == 2
    assert says in found.err
    assert bench.journals() == []


def test_a_budget_that_the_load_takes_alone_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="--sustain alone takes 10 minutes"):
        bench.settings(sustain_s=600.0, budget_s=300.0)
