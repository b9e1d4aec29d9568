"""Settings of a device: switched on to measure, and back whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.adb.device import AdbDevice
from device_agents.adb.direct import tcp_transport
from device_agents.android import thermal
from device_agents.android.agent import AndroidAgent
from device_agents.android.performance_mode import PerformanceMode, read_state
from device_agents.base import AgentSettings
from device_agents.device import load_device
from search.errors import DeviceError, UsageError
from tests.device_agents.conftest import Connection
from tests.loopback.device import LoopbackDevice
from tests.loopback.phone import hostile, pixel_like, this_host
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def any_program(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plan is run here: any program of this machine stands in for the runner."""
    monkeypatch.setenv("KIT_ANDROID_RUNNER", "/bin/true")


class Said(list[str]):
    """What the user was told."""

    def __contains__(self, part: object) -> bool:
        return any(str(part) in text for text in self)


def agent_for(device: LoopbackDevice, said: Said, **changes: Any) -> AndroidAgent:
    options = {"connect": device.address}
    settings = {"backend": "xnnpack", "threads": 1, "affinity": None, "say": said.append}
    return AndroidAgent(
        load_device("android").model_copy(update={"options": options}),
        AgentSettings(**{"timeout_s": PATIENCE_S, **settings, **changes}),
    )


@pytest.fixture
def device(connect_device: Callable[..., Connection]) -> LoopbackDevice:
    return connect_device("tcp")[0]


def in_performance_mode(device: LoopbackDevice) -> bool:
    return device.settings.fixed_performance and device.settings.stay_on == 2


def is_restored(device: LoopbackDevice) -> bool:
    return not device.settings.fixed_performance and device.settings.stay_on == 0


def test_settings_are_on_while_an_agent_is_open_and_off_after(device: LoopbackDevice) -> None:
    with agent_for(device, Said()) as agent:
        assert in_performance_mode(device)
        assert agent.state().fixed_performance_mode is True
    assert is_restored(device)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_settings_are_restored_after_a_failure_and_after_ctrl_c(
    device: LoopbackDevice, error: type[BaseException]
) -> None:
    def fail() -> None:
        with agent_for(device, Said()):
            assert in_performance_mode(device)
            raise error

    with pytest.raises(error):
        fail()
    assert is_restored(device)


def test_an_interrupt_while_switching_on_restores_what_was_switched(
    device: LoopbackDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PerformanceMode._switch

    def switch(self: PerformanceMode, *words: Any) -> bool:
        real(self, *words)
        raise KeyboardInterrupt

    monkeypatch.setattr(PerformanceMode, "_switch", switch)
    with pytest.raises(KeyboardInterrupt), agent_for(device, Said()):
        pass
    assert is_restored(device)
    assert device.settings.history() == ["svc power stayon usb", "svc power stayon false"]


_KILLED = """
import sys, time
from device_agents.android.agent import AndroidAgent
from device_agents.base import AgentSettings
from device_agents.device import load_device
device = load_device("android").model_copy(update={"options": {"connect": sys.argv[1]}})
with AndroidAgent(device, AgentSettings(backend="xnnpack", threads=1, affinity=None)):
    print("open", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(device: LoopbackDevice) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, device.address],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_after_kill_9_the_next_start_restores_and_says_so(device: LoopbackDevice) -> None:
    with another_process(device) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert in_performance_mode(device)
    said = Said()
    with agent_for(device, said) as agent:
        assert "stopped before it could restore stay-on, fixed-performance" in said
        assert in_performance_mode(device)
        assert agent._performance_mode.note.exists()
    assert is_restored(device)
    assert not agent._performance_mode.note.exists()


def test_two_commands_on_one_device_are_refused(device: LoopbackDevice) -> None:
    with another_process(device):
        with pytest.raises(UsageError, match="Another command is using"):
            agent_for(device, Said()).__enter__()
        assert in_performance_mode(device)


def test_a_device_that_is_gone_at_the_end_is_restored_by_the_next_run(
    device: LoopbackDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    monkeypatch.setattr("device_agents.android.agent._PATIENCE_S", 0.5)
    with agent_for(device, said):
        device.stop()
    assert "adb shell cmd power set-fixed-performance-mode-enabled false" in said
    device.start()
    assert in_performance_mode(device)
    with agent_for(device, Said()):
        pass
    assert is_restored(device)


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 2}', '{"changed": ["$(id)"]}'])
def test_a_broken_note_restores_all_that_it_can_have_held(
    device: LoopbackDevice, content: str
) -> None:
    with agent_for(device, Said()) as agent:
        note = agent._performance_mode.note
    note.write_text(content)
    said = Said()
    with agent_for(device, said):
        assert "restored now" in said
    assert is_restored(device)


def test_a_setting_that_the_user_made_stays(device: LoopbackDevice) -> None:
    phone = AdbDevice(tcp_transport("127.0.0.1", device.port))
    phone.connect()
    phone.run(["svc", "power", "stayon", "true"])
    before = device.settings.stay_on
    assert before
    with agent_for(device, Said()):
        assert device.settings.stay_on == before
    assert device.settings.stay_on == before


def test_a_device_without_fixed_performance_says_so_and_goes_on(
    connect_device: Callable[..., Connection],
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), fixed_performance=False))
    said = Said()
    with agent_for(device, said) as agent:
        assert agent.state().fixed_performance_mode is False
    assert "does not accept fixed-performance mode" in said
    assert not device.settings.fixed_performance


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "battery saver": ({"low_power": True}, "Switch battery saver off"),
    "empty": ({"battery_percent": 5, "usb_powered": False}, "Charge the device"),
    "hot": ({"thermal_status": 4}, "Let it cool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_state_in_which_measuring_is_a_waste_is_refused(
    connect_device: Callable[..., Connection], name: str
) -> None:
    changes, remedy = REFUSED[name]
    device, _ = connect_device("tcp", phone=replace(this_host(), **changes))
    with pytest.raises(DeviceError) as told, agent_for(device, Said()):
        pass
    assert remedy in told.value.remedy
    assert device.settings.history() == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"wakefulness": "Asleep"}, "The screen is off"), ({"deep_idle": "IDLE"}, "The device dozes")],
)
def test_a_state_that_only_makes_it_worse_is_said(
    connect_device: Callable[..., Connection], changes: dict[str, Any], sentence: str
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), **changes))
    said = Said()
    with agent_for(device, said):
        assert sentence in said


def test_the_state_is_read_as_the_device_tells_it(
    connect_device: Callable[..., Connection],
) -> None:
    _, transport = connect_device(
        "tcp", phone=replace(pixel_like(), battery_percent=77, battery_c=31.5)
    )
    phone = AdbDevice(transport)
    phone.connect()
    state = read_state(phone)
    assert (state.battery_percent, state.battery_temperature_c) == (77, 31.5)
    assert (state.low_power, state.screen_on, state.stay_on) == (False, True, False)
    assert (state.thermal_status, state.cpu_temperature_c) == ("none", 38.0)


def test_old_devices_tell_less_and_the_rest_is_unknown(
    connect_device: Callable[..., Connection],
) -> None:
    device, transport = connect_device(
        "tcp-old", phone=replace(this_host(), sdk=28, soc_model=None)
    )
    phone = AdbDevice(transport)
    phone.connect()
    state = read_state(phone)
    assert (state.thermal_status, state.cpu_temperature_c) == (None, None)
    with agent_for(device, Said()) as agent:
        assert agent.info().soc is not None


def test_hostile_strings_in_all_answers_change_nothing(
    connect_device: Callable[..., Connection],
) -> None:
    device, _ = connect_device("tcp", phone=hostile(this_host()))
    said = Said()
    with agent_for(device, said) as agent:
        info = agent.info()
        assert in_performance_mode(device)
    assert is_restored(device)
    assert not device.files.within("data/local/tmp/owned").exists()
    shown = " ".join([*said, info.model_dump_json()])
    assert shown.isprintable()
    assert all(c.isalnum() or c == "-" for c in info.id)


def test_a_hot_device_is_waited_for_and_given_up_at_last(
    connect_device: Callable[..., Connection],
) -> None:
    device, transport = connect_device("tcp")
    phone, waits, said = AdbDevice(transport), [], Said()
    phone.connect()

    def cool(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            report = device.files.within("loopback/dumpsys/thermalservice")
            report.write_text(report.read_text().replace("mValue=38.0", "mValue=33.0"))

    thermal.wait_until_cool(phone, 35.0, said.append, cool)
    assert (len(waits), len(said)) == (3, 1)
    assert "38 °C" in said
    with pytest.raises(DeviceError, match="did not cool down in 15 minutes"):
        thermal.wait_until_cool(phone, 20.0, said.append, lambda _: None)


def test_without_a_limit_only_throttling_is_waited_for(
    connect_device: Callable[..., Connection],
) -> None:
    _, transport = connect_device("tcp", phone=replace(this_host(), thermal_status=2))
    phone, said = AdbDevice(transport), Said()
    phone.connect()
    with pytest.raises(DeviceError, match="thermal status moderate"):
        thermal.wait_until_cool(phone, None, said.append, lambda _: None)


def test_a_runner_of_another_architecture_is_refused_before_it_is_copied(
    device: LoopbackDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = bytearray(Path("/bin/true").read_bytes()[:64])
    foreign[18:20] = b"\x28\x00"
    (tmp_path / "runner").write_bytes(bytes(foreign))
    monkeypatch.setenv("KIT_ANDROID_RUNNER", str(tmp_path / "runner"))
    with pytest.raises(DeviceError, match="is made for arm, the device is"):
        agent_for(device, Said()).__enter__()
    (tmp_path / "runner").write_bytes(b"#!/bin/sh")
    with pytest.raises(DeviceError, match="not a program"):
        agent_for(device, Said()).__enter__()
    assert device.traffic.bytes_pushed == 0


def test_a_missing_runner_names_what_builds_it(
    connect_device: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIT_ANDROID_RUNNER")
    phone = replace(this_host(), manufacturer="Google", model="Pixel 8", abi="arm64-v8a")
    device, _ = connect_device("tcp", phone=phone)
    with pytest.raises(DeviceError, match="for Android is not built") as told:
        agent_for(device, Said(), runtime="ndk").__enter__()
    assert "device_agents.cross --target android-arm64" in told.value.remedy


def test_other_backends_and_runners_are_refused(device: LoopbackDevice) -> None:
    for changes in ({"backend": "coreml"}, {"runner": "python"}):
        with pytest.raises(UsageError):
            agent_for(device, Said(), **changes)
