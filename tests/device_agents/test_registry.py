"""A platform has exactly one agent, of the kit or from outside."""

import re
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from device_agents import registry
from device_agents.base import AgentSettings
from device_agents.device import Device, load_device
from device_agents.host.agent import HostAgent
from device_agents.registry import find_devices, make_agent, platforms
from device_agents.simulated.agent import SimulatedAgent
from search.errors import UsageError

SETTINGS = AgentSettings(backend="xnnpack", threads=1, affinity=None, runner="python")
SIMULATED = AgentSettings(backend="simulated", threads=1, affinity=None)


def device(platform: str, **options: Any) -> Device:
    return Device(
        name="d", platform=platform, title="D", backend="xnnpack", threads=1, options=options
    )


def outside_agent(given: Device, settings: AgentSettings) -> Any:
    return (given, settings)


def plug_in(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    value = "test_registry:outside_agent"
    point = EntryPoint(name=platform, value=value, group="device_agents")
    monkeypatch.setattr(EntryPoint, "load", lambda _: outside_agent)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])


def test_the_platform_of_a_device_chooses_its_agent() -> None:
    with make_agent(load_device("host"), SETTINGS) as agent:
        assert isinstance(agent, HostAgent)
    assert isinstance(make_agent(load_device("simulated"), SIMULATED), SimulatedAgent)


def test_the_options_of_a_simulated_device_are_its_truth() -> None:
    agent = make_agent(device("simulated", noise=0.25, lose_after=7), SIMULATED)
    assert isinstance(agent, SimulatedAgent)
    assert (agent.truth.noise, agent.truth.lose_after) == (0.25, 7)


def test_a_platform_without_an_agent_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="toaster") as raised:
        make_agent(device("toaster"), SETTINGS)
    assert "host" in raised.value.remedy
    assert "simulated" in raised.value.remedy


def test_an_agent_from_outside_is_known_and_made(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "toaster")
    assert "toaster" in platforms()
    toaster = device("toaster")
    agent: Any = make_agent(toaster, SETTINGS)
    assert agent == (toaster, SETTINGS)


def test_an_agent_from_outside_cannot_take_the_place_of_one_of_the_kit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(monkeypatch, "host")
    with pytest.raises(UsageError, match="Two agents claim the platform 'host'"):
        make_agent(load_device("host"), SETTINGS)


def test_an_address_is_that_of_the_only_phone_among_several_devices() -> None:
    host, phone = find_devices(["host", "pixel"], connect="127.0.0.1:5999")
    assert "connect" not in host.options
    assert phone.options["connect"] == "127.0.0.1:5999"
    first, second = find_devices(["pixel@A", "android@B"], adb_server="127.0.0.1:5038")
    assert first.options["adb_server"] == second.options["adb_server"] == "127.0.0.1:5038"
    assert find_devices([]) == ()


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["host"], {"connect": "127.0.0.1:1"}, "--connect 127.0.0.1:1 would reach a phone"),
        ([], {"serial": "A"}, "no --device is one"),
        (["pixel", "android"], {"connect": "127.0.0.1:1"}, "reaches one phone, and 2 are named"),
        (["pixel", "android"], {"serial": "A"}, "--serial A reaches one phone"),
    ],
)
def test_an_address_that_could_mean_another_device_is_refused(
    names: list[str], options: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        find_devices(names, **options)
