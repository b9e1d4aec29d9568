"""What every device agent promises, whether its device is real or made up."""

import os
import re
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import pytest

from device_agents.base import AgentSettings, DeviceAgent
from device_agents.host.agent import HostAgent
from device_agents.protocol import (
    Begin,
    Bye,
    Failure,
    Hello,
    Loaded,
    Plan,
    PlanItem,
    Record,
    Sample,
    Sentinel,
)
from search.errors import DeviceLost, DeviceTimeout

FOREVER = 10**9


class AgentContract:
    """A subclass says how to make an agent, what it runs and how to lose it.

    The fixtures `agent` (open, one for the class, so that each test finds it
    as the last one left it) and `files` (two programs, delivered) are made
    from these.
    """

    settings: ClassVar[AgentSettings]
    source: ClassVar[str] = "measured"

    @classmethod
    def make_agent(cls) -> DeviceAgent:
        raise NotImplementedError

    @classmethod
    def write_programs(cls, folder: Path, export: Any) -> list[Path]:
        raise NotImplementedError

    def lose(self, agent: Any, hello: Hello) -> None:
        """Break the connection, now."""
        raise NotImplementedError

    def plan(self, files: list[str], **changes: Any) -> Plan:
        items = tuple(
            PlanItem(id=number, file=file, sha256="", loops=changes.get("loops", 0))
            for number, file in enumerate(files)
        )
        fields = {
            "nonce": secrets.token_hex(8),
            "backend": self.settings.backend,
            "threads": self.settings.threads,
            "order_seed": 1,
            "rounds": 3,
            "min_block_ns": 50_000,
            "items": items,
        }
        changes.pop("loops", None)
        return Plan.model_validate({**fields, **changes})

    def test_hello_comes_first_and_bye_last_with_the_counts_of_what_came(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        plan = self.plan([*files, "/nowhere"], sentinel=0)
        records = list(agent.run(plan))
        hello, bye = records[0], records[-1]
        assert isinstance(hello, Hello)
        assert (hello.nonce, hello.backend, hello.threads) == (plan.nonce, plan.backend, 1)
        assert isinstance(bye, Bye)
        count = Counter(type(record) for record in records)
        assert (count[Hello], count[Bye]) == (1, 1)
        assert (bye.samples, bye.sentinels, bye.failures) == (
            *(count[Sample], count[Sentinel], count[Failure]),
        )

    def test_every_item_is_announced_loaded_and_sampled_once_a_round(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        records = list(agent.run(self.plan(files, rounds=4)))
        loading = [(type(r), r.item) for r in records if isinstance(r, Begin | Loaded)]
        assert loading == [(Begin, 0), (Loaded, 0), (Begin, 1), (Loaded, 1)]
        visits = Counter((sample.item, sample.round) for sample in samples(records))
        assert visits == Counter((item, number) for item in (0, 1) for number in range(4))
        assert [s.round for s in samples(records)] == sorted(s.round for s in samples(records))

    def test_loops_are_those_asked_for(self, agent: DeviceAgent, files: list[str]) -> None:
        records = list(agent.run(self.plan(files, loops=7)))
        assert {sample.loops for sample in samples(records)} == {7}
        assert {record.loops for record in records if isinstance(record, Loaded)} == {7}

    def test_loops_not_asked_for_are_chosen_so_that_a_block_lasts(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        plan = self.plan(files, min_block_ns=1_000_000, rounds=15)
        records = list(agent.run(plan))
        chosen = {record.item: record.loops for record in records if isinstance(record, Loaded)}
        for item, loops in chosen.items():
            taken = [sample for sample in samples(records) if sample.item == item]
            assert {sample.loops for sample in taken} == {loops}
            # A neighbour's load while the loops were chosen makes them fewer.
            assert median(sample.ns for sample in taken) > 250_000
            assert 1 < loops <= plan.max_loops

    def test_loops_are_never_more_than_allowed(self, agent: DeviceAgent, files: list[str]) -> None:
        records = list(agent.run(self.plan(files, min_block_ns=10**12, max_loops=3)))
        assert {sample.loops for sample in samples(records)} == {3}

    def test_the_order_depends_on_the_seed_alone(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        def order(seed: int) -> list[int]:
            records = agent.run(self.plan(files * 3, order_seed=seed, loops=1))
            return [sample.item for sample in samples(list(records))]

        assert order(5) == order(5)
        assert order(5) != order(6)
        assert order(5)[:6] != order(5)[6:12]

    def test_times_are_of_one_clock_that_does_not_go_back(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        taken = [s for _ in range(2) for s in samples(list(agent.run(self.plan(files))))]
        assert [s.at_ns for s in taken] == sorted(s.at_ns for s in taken)
        assert all(sample.ns > 0 for sample in taken)

    def test_the_sentinel_comes_before_every_so_many_items(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        plan = self.plan([*files, files[0]], sentinel=1, sentinel_every=2, rounds=2)
        kinds = [type(r) for r in agent.run(plan) if isinstance(r, Sample | Sentinel)]
        assert kinds == [Sentinel, Sample, Sample, Sentinel, Sample] * 2

    def test_a_missing_file_is_one_failure_and_the_others_go_on(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        records = list(agent.run(self.plan([files[0], "/nowhere", files[1]])))
        failures = [record for record in records if isinstance(record, Failure)]
        assert [(failure.item, failure.kind) for failure in failures] == [(1, "load")]
        assert failures[0].message
        assert Counter(sample.item for sample in samples(records)) == {0: 3, 2: 3}

    def test_an_empty_plan_is_answered(self, agent: DeviceAgent) -> None:
        records = list(agent.run(self.plan([], rounds=0)))
        assert [record.type for record in records] == ["hello", "bye"]

    def test_without_rounds_items_are_only_loaded(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        records = [record.type for record in agent.run(self.plan(files, rounds=0))]
        assert records == ["hello", "begin", "loaded", "begin", "loaded", "bye"]

    def test_plans_can_follow_one_another(self, agent: DeviceAgent, files: list[str]) -> None:
        for _ in range(3):
            plan = self.plan(files)
            records = list(agent.run(plan))
            assert isinstance(records[0], Hello)
            assert records[0].nonce == plan.nonce
            assert len(samples(records)) == 6

    def test_a_device_that_is_lost_in_mid_plan_says_so_and_is_there_for_the_next(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        stream = agent.run(self.plan(files, rounds=FOREVER))
        hello = next(stream)
        assert isinstance(hello, Hello)
        self.lose(agent, hello)
        with pytest.raises(DeviceLost):
            drain(stream)
        assert len(samples(list(agent.run(self.plan(files))))) == 6

    def test_closing_ends_the_runner_and_works_twice(self, files: list[str]) -> None:
        agent = self.make_agent()
        with agent:
            hello = next(iter(list(agent.run(self.plan([], rounds=0)))))
        agent.__exit__(None, None, None)
        assert isinstance(hello, Hello)
        assert hello.pid is None or not Path(f"/proc/{hello.pid}").exists()

    def test_it_says_what_it_is_and_whether_it_is_real(self, agent: DeviceAgent) -> None:
        assert agent.source == self.source
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", agent.info().id)
        assert agent.info() == agent.info()

    def test_an_unknown_state_is_none_and_a_known_one_plausible(self, agent: DeviceAgent) -> None:
        state = agent.state()
        assert state.temperature_c is None or -50 < state.temperature_c < 200
        assert state.load_average is None or state.load_average >= 0


class HostContract(AgentContract):
    """What is promised besides by agents whose runner is a process of this machine."""

    runner: ClassVar[str]

    @classmethod
    def make_agent(cls) -> DeviceAgent:
        return HostAgent(cls.settings)

    def lose(self, agent: Any, hello: Hello) -> None:
        assert hello.pid
        os.kill(hello.pid, signal.SIGKILL)

    def test_the_runner_that_was_asked_for_measures(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        hello = next(iter(list(agent.run(self.plan([], rounds=0)))))
        assert isinstance(hello, Hello)
        assert hello.runner == self.runner
        assert hello.runtime_version

    def test_a_killed_runner_is_named_by_its_signal(
        self, agent: DeviceAgent, files: list[str]
    ) -> None:
        stream = agent.run(self.plan(files, rounds=FOREVER))
        hello = next(stream)
        assert isinstance(hello, Hello)
        self.lose(agent, hello)
        with pytest.raises(DeviceLost, match="signal 9"):
            drain(stream)

    def test_a_frozen_runner_is_a_timeout_and_is_replaced(
        self, agent: HostAgent, files: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = agent.run(self.plan(files, rounds=FOREVER))
        hello = next(stream)
        assert isinstance(hello, Hello)
        assert hello.pid
        os.kill(hello.pid, signal.SIGSTOP)
        # Only now, so that a runtime may take its time to be imported.
        monkeypatch.setattr(agent, "_settings", replace(self.settings, timeout_s=1.0))
        with pytest.raises(DeviceTimeout, match="--timeout"):
            drain(stream)
        monkeypatch.undo()
        assert not Path(f"/proc/{hello.pid}").exists()
        assert [record.type for record in agent.run(self.plan([], rounds=0))] == ["hello", "bye"]


def samples(records: list[Record]) -> list[Sample]:
    return [record for record in records if isinstance(record, Sample)]


def drain(stream: Iterator[Record]) -> None:
    for _ in stream:
        pass
