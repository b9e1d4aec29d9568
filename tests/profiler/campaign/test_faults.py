"""Faults of the device and of the disk: the campaign recovers, or says what to do."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.protocol import Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.journal import Journal
from profiler.planning.coverage import coverage
from profiler.planning.plan import make_plan
from search.errors import DeviceLost, DeviceTimeout, KitError, StorageError, UsageError
from search.table.store import Table


def check_whole(table: Table, passes: int, rounds: int) -> None:
    """No operator lost, none measured twice."""
    samples = table.samples()
    base = samples[samples["pass"] < passes]
    assert {entry.key for entry in table.entries if entry.status != "failed"} <= set(base["item"])
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert base.groupby("item").size().eq(passes * rounds).all()
    assert base["round"].between(0, rounds - 1).all()


class Faulty(SimulatedAgent):
    """Raises when it has yielded some records, as often as told."""

    def __init__(self, bench, error: BaseException, after: int, times: int = 1) -> None:
        super().__init__(bench.agent_settings(), Truth())
        self.error, self.after, self.times = error, after, times
        self.runs = 0

    def run(self, plan: Plan) -> Iterator[Record]:
        self.runs += 1
        for number, record in enumerate(super().run(plan)):
            if number == self.after and self.times:
                self.times -= 1
                raise self.error
            yield record


# --- an operator that cannot be measured -------------------------------------


def victims(bench) -> dict[str, str]:
    plan = make_plan(bench.settings())
    return {
        "stem": plan.operators[0].key,
        "block": plan.operators[10].key,
        "sentinel": plan.sentinel,
        "classifier": plan.operators[-1].key,
    }


@pytest.mark.parametrize("fault", ["crash_on", "refuse"])
@pytest.mark.parametrize("place", ["stem", "block", "sentinel", "classifier"])
def test_an_operator_that_crashes_or_is_refused_is_one_failed_row_and_the_rest_is_measured(
    bench, fault: str, place: str
) -> None:
    victim, settings = victims(bench)[place], bench.settings()
    truth = Truth(crash_on=victim) if fault == "crash_on" else Truth(refuse=victim)
    table = bench.measure(truth, settings)
    failed = [entry for entry in table.entries if entry.status == "failed"]
    assert [entry.key for entry in failed] == [victim]
    assert ("crash" if fault == "crash_on" else "refused") in (failed[0].reason or "")
    assert table.manifest.space.operators_failed == 1
    assert table.manifest.space.operators_measured == len(table.entries) - 1
    assert victim not in set(table.samples()["item"])
    check_whole(table, settings.effort.passes, settings.effort.rounds)


def test_networks_that_hold_a_failed_operator_are_named_in_the_table(bench) -> None:
    victim = victims(bench)["block"]
    plan = make_plan(bench.settings())
    lost = {
        subject.name
        for subject in (*plan.calibration, *plan.exam)
        if victim in [operator.key for operator in subject.operators]
    }
    assert lost
    table = bench.measure(Truth(refuse=victim))
    named = {note.split()[1] for note in table.manifest.notes if note.startswith("network ")}
    assert named == lost
    assert not lost & set(table.exam["network"])


@pytest.mark.parametrize("fault", ["crash_on", "refuse"])
def test_a_failed_operator_is_named_with_its_reason_and_ends_in_exit_code_1(
    bench, fault: str
) -> None:
    victim = victims(bench)["block"]
    ended = bench.call(*bench.words(device=bench.device(**{fault: victim})))
    assert ended.code == 1
    assert victim in ended.out
    assert f"failed: {victim}" in ended.err
    assert len(bench.written()) == 1


def test_operators_so_wide_that_no_network_is_known_end_in_exit_code_1(bench) -> None:
    ended = bench.call(*bench.words("--device", bench.device(noise=0.5)))
    assert ended.code == 1
    assert "open in a network's latency, more than 2%" in " ".join(ended.out.split())
    assert "not for networks" in ended.out


# --- a lost device -----------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2, 30, 104, 106, 150, 278, 280, 400, 700])
def test_a_connection_lost_once_at_any_record_costs_nothing(bench, after: int) -> None:
    settings = bench.settings(passes=3, rounds=3, calibration=0, exam=0)
    agent = bench.agent(Truth(lose_after=after))
    table = bench.measure(settings=settings, agent=agent)
    assert agent._lost
    assert table.manifest.space.operators_measured == len(table.entries)
    check_whole(table, 3, 3)


def test_a_connection_lost_once_at_the_last_record_costs_nothing(bench) -> None:
    settings = bench.settings(passes=1, rounds=2, calibration=0, exam=0)
    whole = bench.agent()
    bench.measure(settings=settings, agent=whole)
    agent = bench.agent(Truth(lose_after=whole._written - 1))
    check_whole(bench.measure(settings=settings, agent=agent), 1, 2)
    assert agent._lost


def test_a_device_that_answers_no_more_ends_the_campaign_with_exit_code_3(bench) -> None:
    agent = Faulty(bench, DeviceLost("The cable is out."), after=0, times=10**6)
    with pytest.raises(DeviceLost) as caught:
        bench.measure(agent=agent)
    assert caught.value.exit_code == 3
    assert agent.runs < 10
    assert len(bench.journals()) == 1


def test_a_device_that_comes_back_is_gone_on_with(bench) -> None:
    settings = bench.settings(passes=2, rounds=3, calibration=0, exam=0)
    with pytest.raises(DeviceLost):
        bench.measure(settings=settings, agent=Faulty(bench, DeviceLost("out"), 0, 10**6))
    check_whole(bench.measure(settings=settings, resume=True), 2, 3)


def test_a_time_out_is_tried_again(bench) -> None:
    settings = bench.settings(passes=2, rounds=3, calibration=0, exam=0)
    agent = Faulty(bench, DeviceTimeout("Nothing came for 120 s."), after=150)
    check_whole(bench.measure(settings=settings, agent=agent), 2, 3)
    assert agent.times == 0


def test_an_operator_whose_runner_dies_now_and_then_is_not_blamed_for_good(bench) -> None:
    settings = bench.settings(passes=4, rounds=3, calibration=0, exam=0)
    agent = Faulty(bench, DeviceLost("out"), after=150, times=3)
    table = bench.measure(settings=settings, agent=agent)
    assert agent.times == 0
    assert table.manifest.space.operators_failed == 0
    check_whole(table, 4, 3)


# --- the journal and the disk ------------------------------------------------


def broken_off(bench, after: int = 350) -> Path:
    """A campaign that was interrupted; its journal."""
    with pytest.raises(KeyboardInterrupt):
        bench.measure(agent=Faulty(bench, KeyboardInterrupt(), after))
    (journal,) = bench.journals()
    return journal


def test_an_unfinished_campaign_is_not_begun_again_by_mistake(bench) -> None:
    journal = broken_off(bench)
    before = journal.read_bytes()
    with pytest.raises(UsageError, match=r"not finished.*--resume.*--restart"):
        bench.measure()
    assert journal.read_bytes() == before


def test_restart_throws_away_what_was_measured(bench) -> None:
    broken_off(bench)
    agent = bench.agent()
    table = bench.measure(agent=agent, restart=True)
    fresh = bench.agent()
    again = bench.measure(agent=fresh)
    assert agent._busy_ns == fresh._busy_ns
    assert [e.time for e in table.entries] == [e.time for e in again.entries]


def test_restart_with_nothing_to_restart_begins(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    assert bench.measure(settings=settings, restart=True).manifest.title.endswith("-v1")


def test_resume_with_nothing_to_resume_is_refused(bench) -> None:
    with pytest.raises(UsageError, match="no unfinished campaign"):
        bench.measure(resume=True)
    bench.measure()
    with pytest.raises(UsageError, match="no unfinished campaign"):
        bench.measure(resume=True)


def test_resume_measures_only_what_is_missing(bench) -> None:
    whole = bench.agent()
    bench.measure(agent=whole)
    broken_off(bench)
    rest = bench.agent()
    bench.measure(agent=rest, resume=True)
    assert rest._busy_ns < whole._busy_ns


def test_a_campaign_is_not_gone_on_with_on_another_device(bench) -> None:
    broken_off(bench)
    other = bench.agent(Truth(seed=5))
    assert other.info() != bench.agent().info()
    with pytest.raises(KitError, match="device"):
        bench.measure(agent=other, resume=True)
    assert bench.measure(resume=True).manifest.device == bench.agent().info()


def test_a_dry_run_counts_what_an_unfinished_campaign_has_measured(bench) -> None:
    settings = bench.settings(passes=1, rounds=1, calibration=0, exam=0)
    agent = Faulty(bench, KeyboardInterrupt(), after=130)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(settings=settings, agent=agent)
    with Journal(bench.journals()[0], settings.identity) as journal:
        done = len(journal.blocks())
    planned = coverage(make_plan(settings), bench.output)
    assert 5 < done < 40
    assert (planned.measured, planned.missing) == (done, planned.unique_operators - done)
    assert (planned.built, planned.to_build) == (1 + planned.unique_operators, 0)


def test_the_time_of_every_part_of_an_interrupted_campaign_is_recorded(bench) -> None:
    class Sleepy(Faulty):
        def run(self, plan: Plan) -> Iterator[Record]:
            time.sleep(1.0)
            yield from super().run(plan)

    settings = bench.settings(passes=1, calibration=0, exam=0)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(settings=settings, agent=Sleepy(bench, KeyboardInterrupt(), 150))
    table = bench.measure(settings=settings, resume=True)
    assert table.manifest.protocol.duration_s >= 1.0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_journal_cut_short_is_refused_with_a_sentence_and_restart_helps(
    bench, share: float
) -> None:
    journal = broken_off(bench)
    content = journal.read_bytes()
    journal.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match=r"damaged.*--restart"):
        bench.measure(resume=True)
    settings = bench.settings()
    table = bench.measure(restart=True)
    check_whole(table, settings.effort.passes, settings.effort.rounds)


def test_a_disk_that_is_full_when_the_table_is_written_costs_nothing(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("search.table.store._write_synced", full)
        with pytest.raises(StorageError, match=r"No space left on device.*--resume"):
            bench.measure()
    assert bench.written() == []
    assert len(bench.journals()) == 1
    agent = bench.agent()
    table = bench.measure(agent=agent, resume=True)
    assert agent._busy_ns == 0
    assert table.manifest.space.operators_measured == len(table.entries)
    assert bench.journals() == []


def test_a_journal_from_other_settings_is_not_resumed(bench) -> None:
    with pytest.raises(DeviceLost):
        bench.measure(agent=Faulty(bench, DeviceLost("out"), 0, 10**6))
    (journal,) = bench.journals()
    for change in ({"threads": 2}, {"seed": 1}, {"passes": 3}, {"filter": "_k5_"}):
        with pytest.raises(UsageError, match="no unfinished campaign"):
            bench.measure(settings=bench.settings(**change), resume=True)
    assert bench.journals() == [journal]
