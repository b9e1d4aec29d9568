"""What phones really answer: refusals, missing tools and parts, odd cores. Told, and recorded."""

import contextlib
import io
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.adb import sync
from device_agents.adb.device import AdbDevice
from device_agents.adb.direct import tcp_transport
from device_agents.android.agent import AndroidAgent
from device_agents.android.identity import identify, is_placeholder
from device_agents.android.performance_mode import RestoreNote, read_state
from device_agents.base import AgentSettings
from device_agents.device import load_device
from search.errors import DeviceError, UsageError
from search.files import sha256_bytes
from tests.device_agents.conftest import Connection
from tests.loopback.device import LoopbackDevice
from tests.loopback.phone import Cluster, Phone, this_host
from tests.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def any_program(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plan is run here: any program of this machine stands in for the runner."""
    monkeypatch.setenv("KIT_ANDROID_RUNNER", "/bin/true")


Open = Callable[..., tuple[LoopbackDevice, AndroidAgent, list[str]]]


@pytest.fixture
def opened(connect_device: Callable[..., Connection]) -> Any:
    """Opens an agent on a phone that differs from this host by the words given."""
    with contextlib.ExitStack() as stack:

        def make(
            phone: Phone | None = None, settings: dict[str, Any] | None = None, **changes: Any
        ) -> tuple[LoopbackDevice, AndroidAgent, list[str]]:
            device, _ = connect_device("tcp", phone=replace(phone or this_host(), **changes))
            said: list[str] = []
            chosen = {"backend": "xnnpack", "threads": 1, "affinity": None, "say": said.append}
            agent = AndroidAgent(
                load_device("android").model_copy(update={"options": {"connect": device.address}}),
                AgentSettings(**{"timeout_s": PATIENCE_S, **chosen, **(settings or {})}),
            )
            stack.enter_context(agent)
            return device, agent, said

        yield make


def adb_to(device: LoopbackDevice, said: list[str] | None = None) -> AdbDevice:
    told = said if said is not None else []
    found = AdbDevice(tcp_transport("127.0.0.1", device.port), say=told.append)
    found.connect()
    return found


# --- a battery that is not there


def test_a_board_without_a_battery_is_measured_and_its_zeros_are_not_recorded(opened: Open) -> None:
    _, agent, _ = opened(battery_present=False, usb_powered=False)
    phone = agent.state().phone
    assert phone is not None
    battery = (phone.battery_percent, phone.battery_temperature_c)
    assert (*battery, phone.powered, phone.power_sources) == (None, None, None, None)


# --- the screen stays on, or it is told that it does not


def test_a_refusal_to_stay_awake_is_said_and_recorded(opened: Open) -> None:
    device, agent, said = opened(stay_on_refused=True)
    state = agent.state()
    assert "SecurityException" in state.refused_settings["stay-on"]
    assert "exit code 255" in state.refused_settings["stay-on"]
    (told,) = [text for text in said if "refused to keep its screen on" in text]
    assert told in agent.remarks()
    assert state.phone is not None
    assert state.phone.stay_on is False
    assert device.settings.fixed_performance  # the rest is switched on all the same


def test_a_refused_performance_mode_is_recorded_with_the_answer(opened: Open) -> None:
    _, agent, said = opened(fixed_performance=False)
    assert "Failed to set FIXED_PERFORMANCE" in agent.state().refused_settings["fixed-performance"]
    assert any("Failed to set FIXED_PERFORMANCE" in text for text in said)


def test_a_setting_that_is_accepted_and_does_nothing_is_said(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "device_agents.android.performance_mode._STAY_ON", ["true", "svc", "power", "stayon"]
    )
    _, agent, said = opened()
    assert agent.state().refused_settings == {"stay-on": "accepted, but not in effect"}
    assert any("does not do it" in text for text in said)


@pytest.mark.parametrize(
    ("powered", "bits"),
    [({"usb_powered": True}, 2), ({"usb_powered": False, "ac_powered": True}, 1)],
)
def test_the_screen_is_kept_on_for_what_powers_the_phone(
    opened: Open, powered: dict[str, bool], bits: int
) -> None:
    device, agent, _ = opened(**powered)
    assert device.settings.stay_on == bits
    phone = agent.state().phone
    assert phone is not None
    assert phone.stay_on is True


def test_a_setting_for_another_source_is_changed_and_comes_back(opened: Open) -> None:
    device, agent, _ = opened(stay_on=1)  # a wall charger's; this phone has a computer's cable
    assert device.settings.stay_on == 2
    assert agent.state().refused_settings == {}
    agent.__exit__(None, None, None)
    assert device.settings.stay_on == 1


def test_what_was_set_before_comes_back_after_a_kill_too(opened: Open) -> None:
    device, agent, _ = opened(stay_on=5)
    note = RestoreNote.model_validate_json(agent._performance_mode.note.read_text())
    assert note.stay_on_before == 5
    # As a note of schema 1, which does not hold it: off, as before.
    old = note.model_dump(exclude={"stay_on_before"}) | {"schema_version": 1}
    assert RestoreNote.model_validate(old).stay_on_before is None
    again = type(agent._performance_mode)(adb_to(device), note.serial_hash, lambda _: None)
    again.restore_leftovers()
    assert device.settings.stay_on == 5


def test_a_phone_on_its_battery_is_told_to_be_plugged_in(opened: Open) -> None:
    device, _, said = opened(usb_powered=False)
    assert any("plug it in" in text for text in said)
    assert device.settings.stay_on == 0


def test_another_chargers_setting_is_not_recorded_as_stay_on(
    connect_device: Callable[..., Connection],
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), stay_on=1))
    state = read_state(adb_to(device))
    assert (state.stay_on, state.power_sources) == (False, ("usb",))


# --- cores


def test_cores_that_are_switched_off_are_said_and_recorded(opened: Open) -> None:
    _, agent, said = opened(offline=(62, 63))
    (told,) = [text for text in said if "Cores 62-63 are switched off" in text]
    assert told in agent.remarks()
    assert agent.state().cores_offline == (62, 63)


def test_a_phone_with_all_cores_on_is_recorded_as_such(opened: Open) -> None:
    _, agent, said = opened()
    assert agent.state().cores_offline == ()
    assert not any("switched off" in text for text in said)
    assert agent.remarks() == ()


GALAXY_S23 = tuple(
    Cluster(cpus=cpus, capacity=capacity, part=part, related=related)
    for cpus, capacity, part, related in (
        ((0, 1, 2), 250, "0xd46", None),
        ((3, 4), 750, "0xd4d", (3, 4, 5, 6)),
        ((5, 6), 750, "0xd47", (3, 4, 5, 6)),
        ((7,), 1024, "0xd4e", None),
    )
)


def test_one_clock_with_two_kinds_of_cores_is_two_clusters(
    connect_device: Callable[..., Connection],
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), clusters=GALAXY_S23))
    # Without this machine's own lines, which an x86 would begin with.
    device.files.within("proc/cpuinfo").write_text(
        "\n".join(
            f"processor : {cpu}\nCPU implementer : 0x41\nCPU part : {cluster.part}\n"
            for cluster in GALAXY_S23
            for cpu in cluster.cpus
        )
    )
    clusters = identify(adb_to(device)).info.clusters
    assert [(one.cpus, one.name) for one in clusters] == [
        ((0, 1, 2), "ARM Cortex-A510"),
        ((5, 6), "ARM Cortex-A710"),
        ((3, 4), "ARM Cortex-A715"),
        ((7,), "ARM Cortex-X3"),
    ]


def test_cores_that_cpuinfo_does_not_describe_are_known_by_their_midr(
    connect_device: Callable[..., Connection],
) -> None:
    alike = (Cluster(cpus=(0, 1, 2, 3), part="0xd4d"),)
    device, _ = connect_device("tcp", phone=replace(this_host(), clusters=alike))
    one = "processor : {}\n\n"
    text = "".join(one.format(n) for n in range(4)) + "CPU implementer : 0x41\nCPU part : 0xd4d\n"
    device.files.within("proc/cpuinfo").write_text(text)
    for cpu, midr in enumerate(("0x410fd4d0", "0x410fd4d0", "0x410fd470", "0x410fd470")):
        path = device.files.within(f"sys/devices/system/cpu/cpu{cpu}/regs/identification/midr_el1")
        path.parent.mkdir(parents=True)
        path.write_text(f"{midr}\n")
    clusters = identify(adb_to(device)).info.clusters
    assert {(one.cpus, one.name) for one in clusters} == {
        ((0, 1), "ARM Cortex-A715"),
        ((2, 3), "ARM Cortex-A710"),
    }


def test_more_threads_than_equal_cores_are_unpinned_and_that_is_told(opened: Open) -> None:
    _, agent, said = opened(settings={"threads": 64})
    assert agent.pinned is None
    (told,) = [text for text in said if "No 64 cores are equal" in text]
    assert told in agent.remarks()


@pytest.fixture
def galaxy_s24() -> Phone:
    """Eight cores of 2 + 3 + 2 + 1, and no rehearsal: its own clusters count."""
    clusters = tuple(
        Cluster(cpus=cpus, capacity=capacity)
        for cpus, capacity in (((0, 1), 379), ((2, 3, 4), 923), ((5, 6), 867), ((7,), 1024))
    )
    phone = replace(this_host(), manufacturer="samsung", model="SM-S921B", clusters=clusters)
    return replace(phone, abi=platform.machine())


@pytest.mark.parametrize(("threads", "pinned"), [(1, (7,)), (3, (2, 3, 4)), (4, None)])
def test_four_threads_on_a_galaxy_s24_are_unpinned_and_that_is_told(
    opened: Open, galaxy_s24: Phone, threads: int, pinned: tuple[int, ...] | None
) -> None:
    _, agent, said = opened(galaxy_s24, settings={"threads": threads})
    assert agent.pinned == pinned
    told = [text for text in said if "cores are equal (0-1" in text]
    assert len(told) == (pinned is None)
    assert all("--threads 3 or fewer" in text and text in agent.remarks() for text in told)


def test_a_phones_own_cores_may_be_named_whatever_this_computer_has(
    opened: Open, galaxy_s24: Phone
) -> None:
    with pytest.raises(UsageError, match="--affinity names cores 8"):
        opened(galaxy_s24, settings={"affinity": (7, 8)})
    _, agent, _ = opened(galaxy_s24, settings={"affinity": (5, 6, 7)})
    assert agent.pinned == (5, 6, 7)


def test_without_a_wish_to_pin_nothing_is_told_of_it(opened: Open) -> None:
    _, agent, said = opened(settings={"threads": 64, "pin": False})
    assert (agent.pinned, agent.remarks()) == (None, ())
    assert not any("equal" in text for text in said)


def test_cores_that_the_device_does_not_have_are_refused_before_anything_is_done(
    opened: Open,
) -> None:
    with pytest.raises(UsageError, match=r"--affinity names cores 60-61.*Name cores"):
        opened(settings={"affinity": (0, 60, 61)})


# --- a checksum without sha256sum


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ((), ()),
        (("sha256sum",), ("sha1sum checks",)),
        (("sha256sum", "sha1sum"), ("sha1sum checks", "md5sum checks")),
        (
            ("sha256sum", "sha1sum", "md5sum"),
            ("sha1sum checks", "md5sum checks", "reading back checks"),
        ),
    ],
)
def test_a_copy_is_checked_by_what_the_device_has(
    connect_device: Callable[..., Connection],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: tuple[str, ...],
    told: tuple[str, ...],
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), missing=missing))
    said: list[str] = []
    phone = adb_to(device, said)
    (tmp_path / "file").write_bytes(b"content")
    for name in ("one", "two"):  # it is told once, whatever the number of files
        phone.push(tmp_path / "file", f"/data/local/tmp/{name}", sha256_bytes(b"content"))
        assert device.files.within(f"data/local/tmp/{name}").read_bytes() == b"content"
    assert len(said) == len(told)
    assert all(part in text for part, text in zip(told, said, strict=True))
    send = sync.send_file

    def garble(stream: Any, _: Any, *words: Any) -> int:
        return send(stream, io.BytesIO(b"garbled"), *words)

    monkeypatch.setattr(sync, "send_file", garble)
    with pytest.raises(DeviceError, match="differs from the original"):
        phone.push(tmp_path / "file", "/data/local/tmp/three", sha256_bytes(b"content"))
    assert not list(device.files.within("data/local/tmp").glob("three*"))


def test_a_copy_that_the_device_cannot_read_is_not_called_a_bad_cable(
    connect_device: Callable[..., Connection], tmp_path: Path
) -> None:
    device, _ = connect_device("tcp")
    broken = device.files.within("system/bin/sha256sum")
    broken.unlink()
    broken.write_text("#!/bin/sh\necho 'sha256sum: Permission denied' >&2; exit 1\n")
    broken.chmod(0o755)
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(DeviceError, match=r"cannot check.*Permission denied") as told:
        adb_to(device).push(tmp_path / "file", "/data/local/tmp/x", sha256_bytes(b"content"))
    assert "cable" not in str(told.value)


# --- serial numbers that a maker left in every device


@pytest.mark.parametrize(
    ("serial", "placeholder"),
    [
        ("0123456789ABCDEF", True),
        ("123456789", True),
        ("unknown", True),
        ("00000000", True),
        ("0A1B2C3D", False),
        ("R5CT1", False),
        ("A", False),
    ],
)
def test_a_serial_that_tells_nothing_is_known(serial: str, placeholder: bool) -> None:
    assert is_placeholder(serial) is placeholder
