"""Gates that gate: what cannot be had is refused before any work, what is doubtful is said."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from device_agents.base import DeviceState
from device_agents.protocol import Hello, Plan, Record
from device_agents.registry import find_device
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.cli.app import app
from profiler.measuring.pinning import check_pinning
from profiler.planning.cores import check_device_cores
from profiler.tables.checks import validation_problems
from search.cli.app import app as search_app
from search.errors import DeviceError, GateFailed, UsageError
from search.latency.trust import MOST_PREEMPTED, preempted_sentence, pricing_problems
from search.pipeline.problem import Waivers, check_table
from search.table.manifest import CpuCluster
from search.table.store import Table
from tests.profiler.conftest import Bench

MOST_CORES = max(os.sched_getaffinity(0)) + 7


def _changed(table: Table, **parts: object) -> Table:
    return replace(table, manifest=table.manifest.model_copy(update=parts))


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--affinity", str(MOST_CORES)), f"core {MOST_CORES}"),
        (("--threads", "999"), "--threads 999"),
        (("--classes", "1"), "nothing to tell apart"),
        (("--device", "pixel", "--connect", "127.0.0.1:1", "--serial", "nope"), "--serial nope"),
        (("--space", "fbnet-mini-r32-x1-c1-h256-p0-b1-fp32"), "nothing to tell apart"),
    ],
)
def test_what_is_not_there_is_refused_before_any_work(
    tmp_path: Path, words: Sequence[str], sentence: str, dry: Sequence[str]
) -> None:
    output = tmp_path / "new" / "tables"
    result = _run(*words, *dry, "-o", str(output), "--quiet")
    assert isinstance(result.exception, UsageError), result.output
    assert sentence in str(result.exception)
    assert result.exception.remedy
    assert list(tmp_path.iterdir()) == []


def test_more_threads_or_other_cores_than_a_device_has_are_refused(measured: Table) -> None:
    device = measured.manifest.device.model_copy(
        update={"kind": "android", "clusters": (CpuCluster(cpus=(0, 1, 2, 3)),)}
    )
    check_device_cores(device, 4, (0, 3))
    with pytest.raises(UsageError, match="core 4"):
        check_device_cores(device, 1, (0, 4))
    with pytest.raises(UsageError, match="--threads 5"):
        check_device_cores(device, 5, None)
    made_up = device.model_copy(update={"kind": "rehearsal"})
    check_device_cores(made_up, 5, (9,))


def test_a_phone_that_is_reached_directly_is_not_chosen_by_its_serial_number() -> None:
    with pytest.raises(UsageError, match="Give one of them"):
        find_device("pixel@nope", connect="127.0.0.1:1")
    assert find_device("pixel", connect="127.0.0.1:1").options["connect"] == "127.0.0.1:1"


# --- pinning ---------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "seen"), [((9,), (0, 1)), ((0,), (0, 1)), ((1,), ())])
def test_a_runner_on_other_cores_than_asked_for_is_refused(
    asked: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    with pytest.raises(DeviceError, match="was to run on the cores"):
        check_pinning(asked, seen)


@pytest.mark.parametrize(("asked", "seen"), [(None, (0, 1)), ((0,), None), ((1, 0), (0, 1))])
def test_what_agrees_or_is_not_known_passes(
    asked: tuple[int, ...] | None, seen: tuple[int, ...] | None
) -> None:
    check_pinning(asked, seen)


class Elsewhere(SimulatedAgent):
    """Runs on cores 0 and 1, whatever is asked."""

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            here = isinstance(record, Hello)
            yield record.model_copy(update={"affinity": (0, 1)}) if here else record


def test_a_campaign_on_other_cores_ends_at_once_and_leaves_nothing(bench: Bench) -> None:
    agent = Elsewhere(bench.agent_settings(), Truth())
    with pytest.raises(DeviceError, match="cores 9, and runs on 0, 1"):
        bench.measure(agent=agent, settings=replace(bench.settings(), affinity=(9,)))
    assert bench.journals() == []
    assert not bench.output.exists()


class PinsItself(Elsewhere):
    """Chooses core 9 itself, as a phone's agent chooses the fastest ones."""

    def state(self) -> DeviceState:
        return DeviceState(pinned=(9,))


def test_cores_that_an_agent_chose_are_kept_to_as_well(bench: Bench) -> None:
    agent = PinsItself(bench.agent_settings(), Truth())
    with pytest.raises(DeviceError, match=r"cores 9, and runs on 0, 1\..*--affinity none"):
        bench.measure(agent=agent)
    assert bench.journals() == []
    assert not bench.output.exists()


def test_a_table_that_ran_elsewhere_is_a_problem_for_both_commands(measured: Table) -> None:
    protocol = measured.manifest.protocol.model_copy(
        update={"affinity_asked": (9,), "affinity_observed": (0, 1)}
    )
    elsewhere = _changed(measured, protocol=protocol)
    assert "cores 9, and ran on 0, 1" in validation_problems(elsewhere)[0]
    with pytest.raises(GateFailed, match="ran on 0, 1"):
        check_table(elsewhere, Waivers(simulated=True))


# --- one rule for validate and search ------------------------------------------------------


def test_a_table_of_some_operators_is_partial_and_unexamined(measured: Table) -> None:
    space = measured.manifest.space.model_copy(update={"filter": "k5_e6", "operators_missing": 0})
    partial = replace(_changed(measured, space=space, exam=None), entries=measured.entries[:1])
    problems = validation_problems(partial)
    assert problems[0].startswith("partial: 1 of ")
    assert any(problem.startswith("unexamined") for problem in problems)
    with pytest.raises(GateFailed, match="exam"):
        check_table(partial, Waivers(simulated=True))


def test_what_validate_refuses_a_search_refuses(measured: Table) -> None:
    first, *rest = measured.entries
    failed = replace(first, status="failed", reason="crash: x", time=None, in_network_us=None)
    for bad in (
        replace(measured, entries=(failed, *rest)),
        _changed(measured, exam=None),
        _changed(measured, space=measured.manifest.space.model_copy(update={"filter": "k"})),
    ):
        assert pricing_problems(bad)
        with pytest.raises(GateFailed):
            check_table(bad, Waivers(simulated=True))
    assert pricing_problems(measured) == []
    check_table(measured, Waivers(simulated=True))


# --- a machine that others use -----------------------------------------------------------


def test_blocks_that_were_nearly_all_preempted_are_said_with_load_and_remedy() -> None:
    text = preempted_sentence(766, 2, 7.0)
    assert text.startswith("766 of 768 blocks were preempted")
    assert "load average 7.0" in text
    assert "--affinity" in text
    assert preempted_sentence(int(MOST_PREEMPTED * 100), 100 - int(MOST_PREEMPTED * 100), 7) == ""
    assert preempted_sentence(0, 0, None) == ""


def test_a_table_of_such_a_machine_is_a_problem(measured: Table) -> None:
    entries = tuple(
        replace(entry, sampling=replace(entry.sampling, rejected_blocks=100_000))
        for entry in measured.entries
    )
    (problem,) = pricing_problems(replace(measured, entries=entries))
    assert "were preempted" in problem


# --- nothing is left behind ---------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("--table", "absent", "-o", "new/net.json"),
        ("--table", "absent", "-o", "new/net.json", "--resume"),
        ("train", "absent.json", "-o", "new/net.pt"),
        ("train", "FBNet-96-0.35-1", "-o", "new/net.pt", "--data", "absent"),
        ("train", "FBNet-96-0.35-1", "-o", "new/net.pt", "--resume"),
    ],
)
def test_a_failed_command_of_a_search_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(search_app, [*words, "--quiet"])
    assert isinstance(result.exception, UsageError | OSError) or result.exit_code
    assert list(tmp_path.iterdir()) == []
