"""Cores of this machine: wishes that cannot be met are refused, slow ones are told and recorded."""

import os
from pathlib import Path
from typing import Any

import pytest

from device_agents import cpu
from device_agents.base import AgentSettings
from device_agents.host import agent as host_agent
from device_agents.host.agent import HostAgent
from device_agents.protocol import Plan
from search.errors import KitError, UsageError
from search.table.manifest import CpuCluster


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What an agent with these settings says when it is opened, and its remarks."""

    def open_one(**changes: Any) -> list[str]:
        said: list[str] = []
        settings = {"backend": "xnnpack", "threads": 1, "affinity": None, "runner": "python"}
        with HostAgent(AgentSettings(**{**settings, **changes}, say=said.append)) as agent:
            assert list(agent.remarks()) == said
        return said

    return open_one


LITTLE, BIG = CpuCluster(cpus=(0, 1), name="A"), CpuCluster(cpus=(2, 3), name="B")


@pytest.fixture
def big_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slow and two fast cores, all of them usable."""
    for module in (cpu, host_agent):
        monkeypatch.setattr(module, "read_clusters", lambda: (LITTLE, BIG))
        monkeypatch.setattr(module, "allowed_cpus", lambda: (0, 1, 2, 3))
        monkeypatch.setattr(module, "offline", lambda: ())


def test_cores_that_this_machine_does_not_have_are_refused(told: Any) -> None:
    there = os.sched_getaffinity(0)
    absent = max(there) + 1
    with pytest.raises(UsageError, match=rf"--affinity names cores {absent}.*there are"):
        told(affinity=(min(there), absent))
    with pytest.raises(UsageError, match="--affinity names cores"):
        told(affinity=(4000, 4001))


def test_cores_that_are_there_are_taken(told: Any) -> None:
    assert told(affinity=(max(os.sched_getaffinity(0)),)) == []


@pytest.mark.usefixtures("big_little")
@pytest.mark.parametrize(("threads", "pin", "count"), [(2, True, 0), (3, True, 1), (3, False, 0)])
def test_more_threads_than_equal_cores_are_told(
    told: Any, threads: int, pin: bool, count: int
) -> None:
    said = told(threads=threads, pin=pin)
    assert len(said) == count
    assert all("No 3 cores are equal (0-1 A; 2-3 B)" in text for text in said)
    assert all("--threads 2 or fewer" in text for text in said)


@pytest.mark.usefixtures("big_little")
def test_a_process_without_the_fast_cores_is_told(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cpu, host_agent):
        monkeypatch.setattr(module, "allowed_cpus", lambda: (0, 1))
    (text,) = told()
    assert "on cores 0-1 only" in text
    assert "2-3 B" in text


@pytest.mark.usefixtures("big_little")
def test_cores_that_are_switched_off_are_told_and_recorded(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_agent, "offline", lambda: (4, 5))
    (text,) = told()
    assert "Cores 4-5 are switched off" in text
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None, runner="python")
    with HostAgent(settings) as agent:
        assert agent.state().cores_offline == (4, 5)


@pytest.mark.usefixtures("big_little")
def test_a_system_that_does_not_pin_is_told_and_refuses_cores(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cpu, host_agent):
        monkeypatch.setattr(module, "allowed_cpus", lambda: None)
    (text,) = told()
    assert "does not pin" in text
    with pytest.raises(UsageError, match="does not pin"):
        told(affinity=(0,))


@pytest.mark.parametrize(
    ("online", "present", "off"),
    [("0-3", "0-5", (4, 5)), ("0-1", "0-1", ()), ("0-1", "", None), ("x", "0", None)],
)
def test_offline_cores_are_those_present_and_not_online(
    tmp_path: Path, online: str, present: str, off: tuple[int, ...] | None
) -> None:
    (tmp_path / "online").write_text(f"{online}\n")
    (tmp_path / "present").write_text(f"{present}\n")
    assert cpu.offline(tmp_path) == off


def test_zeros_of_sysfs_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "online").write_text("0\n")
    (tmp_path / "cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0/cpu_capacity").write_text("0\n")
    (tmp_path / "cpu0/cpufreq/cpuinfo_max_freq").write_text("0\n")
    assert cpu.read_clusters(tmp_path) == (CpuCluster(cpus=(0,)),)


def test_a_temperature_limit_that_nothing_can_watch_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(host_agent, "temperature_c", lambda: None)
    settings = AgentSettings(
        backend="xnnpack", threads=1, affinity=None, runner="python", say=said.append
    )

    def no_runner(_: HostAgent) -> None:
        raise KitError("no runner")

    monkeypatch.setattr(HostAgent, "_start", no_runner)
    plan = Plan(
        nonce="n",
        backend="xnnpack",
        threads=1,
        order_seed=0,
        rounds=1,
        items=(),
        max_temperature_c=50,
    )
    with HostAgent(settings) as agent:
        with pytest.raises(KitError, match="no runner"):
            list(agent.run(plan))
        assert any("--max-temp" in text for text in said)
        assert said[-1] in agent.remarks()
