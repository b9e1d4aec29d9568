"""USB without a server: what is found, what each refusal says, and how bytes are carried."""

import builtins
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.adb import discovery, usb
from device_agents.adb.address import AdbAddress
from device_agents.adb.device import AdbDevice
from device_agents.adb.states import ADVICE, BUSY, NO_PERMISSIONS
from device_agents.device import load_device
from device_agents.registry import find_device
from search.errors import ConnectionLost, DeviceError, DeviceTimeout, KitError
from tests.device_agents.conftest import Connection, free_port
from tests.loopback.connection import OLD
from tests.loopback.device import LoopbackDevice
from tests.waiting import PATIENCE_S

ANDROID = load_device("android")


def usb_error(name: str) -> Exception:
    import usb1

    made: Exception = getattr(usb1, name)()
    return made


@pytest.fixture
def alone() -> AdbAddress:
    """No server answers here."""
    return AdbAddress(server=("127.0.0.1", free_port()))


@pytest.fixture
def device(tmp_path: Path) -> Any:
    with LoopbackDevice(tmp_path / "device") as made:
        yield made


# --- what is found


def test_a_device_on_usb_is_found_where_no_server_runs(
    bus: Any, alone: AdbAddress, device: LoopbackDevice
) -> None:
    bus.plug(device.port, "0A1B")
    (seen,), notes = discovery.list_devices(alone)
    assert (seen.serial, seen.state, seen.model) == ("0A1B", "device", "Loopback")
    assert "USB" in seen.connection
    assert "no adb server answers" in notes[0]
    assert discovery.select_devices(ANDROID, alone) == [seen]


def test_a_whole_command_goes_over_usb(bus: Any, alone: AdbAddress, device: LoopbackDevice) -> None:
    bus.plug(device.port, "0A1B")
    phone = AdbDevice(discovery.transport_for(alone, "0A1B"))
    phone.connect()
    done = phone.run(["sh", "-c", "echo over usb; exit 3"])
    phone.close()
    assert (done.text, done.code) == ("over usb", 3)
    assert bus.devices[0].owner is None


def test_a_running_server_is_preferred_and_usb_left_alone(
    bus: Any, connect_device: Callable[..., Connection], server: Any
) -> None:
    _, behind_server = connect_device("server")
    plugged = bus.plug(1, "0A1B", refused={"look": AssertionError("USB was looked at")})
    seen, notes = discovery.list_devices(AdbAddress(server=("127.0.0.1", server.port)))
    assert [one.serial for one in seen] == [behind_server.serial]
    assert (notes, plugged.owner) == ([], None)


def test_a_server_elsewhere_is_never_replaced_by_usb_here(bus: Any) -> None:
    bus.plug(1, "0A1B", refused={"look": AssertionError("USB was looked at")})
    far = AdbAddress(server=("192.0.2.1.invalid", 5037))
    seen, notes = discovery.list_devices(far)
    assert seen == []
    assert "adb start-server" in notes[0]
    assert discovery.transport_for(far, "0A1B").connection.startswith("adb server")


def test_other_things_on_usb_are_no_devices(bus: Any, alone: AdbAddress) -> None:
    bus.plug(1, "DISK", interface=(0x08, 0x06, 0x50))
    seen, notes = discovery.list_devices(alone)
    assert seen == []
    assert "no device on USB offers adb" in notes[0]


@pytest.mark.parametrize("serials", [[None], ["same", "same"]])
def test_devices_without_a_serial_of_their_own_are_named_by_port(
    bus: Any, alone: AdbAddress, device: LoopbackDevice, serials: list[str | None]
) -> None:
    for serial in serials:
        bus.plug(device.port, serial)
    names = [f"usb:1-4.{number}" for number, _ in enumerate(serials, start=1)]
    seen, _ = discovery.list_devices(alone)
    assert [(one.serial, one.state) for one in seen] == [(name, "device") for name in names]
    chosen = AdbAddress(server=alone.server, serials=(names[-1],))
    assert discovery.prefer_direct(chosen) == chosen
    (one,) = discovery.select_devices(ANDROID, chosen)
    assert one.serial == names[-1]


def test_a_serial_on_usb_is_a_device_name(
    bus: Any, alone: AdbAddress, device: LoopbackDevice
) -> None:
    bus.plug(device.port, "0A1B")
    found = find_device("0A1B", adb_server=f"127.0.0.1:{alone.server[1]}")
    assert (found.platform, found.options["serial"]) == ("android", "0A1B")


def test_the_command_lists_usb_devices_with_state_and_next_step(
    bus: Any, alone: AdbAddress, device: LoopbackDevice
) -> None:
    from typer.testing import CliRunner

    from profiler.cli.app import devices_app

    bus.plug(device.port, "0A1B")
    bus.plug(device.port, "locked", refused={"look": usb_error("USBErrorAccess")})
    bus.plug(device.port, "held", refused={"claim": usb_error("USBErrorBusy")})
    told = CliRunner().invoke(devices_app, ["--adb-server", f"127.0.0.1:{alone.server[1]}"])
    assert told.exit_code == 0
    lines = told.output.splitlines()[-3:]
    assert lines[0].startswith("0A1B  device  Loopback  (USB")
    assert re.match(r"usb:1-4\.2  no permissions .*udev rules", lines[1])
    assert re.match(r"held  busy .*adb server", lines[2])


# --- what each refusal says

REFUSALS = [
    ("look", "USBErrorAccess", NO_PERMISSIONS),
    ("open", "USBErrorAccess", NO_PERMISSIONS),
    ("claim", "USBErrorBusy", BUSY),
    ("claim", "USBErrorIO", "offline"),
    ("open", "USBErrorNoDevice", "offline"),
]


@pytest.mark.parametrize(("step", "error", "state"), REFUSALS)
def test_a_device_that_cannot_be_used_is_listed_with_its_state(
    bus: Any, alone: AdbAddress, device: LoopbackDevice, step: str, error: str, state: str
) -> None:
    bus.plug(device.port, "0A1B", refused={step: usb_error(error)})
    (seen,), _ = discovery.list_devices(alone)
    assert (seen.state, seen.advice) == (state, ADVICE[state])
    with pytest.raises(DeviceError) as told:
        discovery.select_devices(ANDROID, alone)
    assert f"{seen.serial}: {state}" in told.value.message
    assert ADVICE[state] in told.value.remedy


SENTENCES = [
    ("open", "USBErrorAccess", r"may not open.*0A1B.*ACCESS", r"udev rules"),
    ("claim", "USBErrorBusy", r"Another program holds.*0A1B", r"adb server.*--adb-server"),
    ("open", "USBErrorNoDevice", r"0A1B is not on USB", r"Plug it in again"),
    ("open", "USBErrorNotSupported", r"cannot drive.*0A1B", r"WinUSB.*adb start-server"),
    ("write", "USBErrorPipe", r"USB connection to 0A1B.*PIPE.*broke", r"another cable"),
]


@pytest.mark.parametrize(("step", "error", "message", "remedy"), SENTENCES)
def test_each_error_is_a_sentence_with_the_next_step(
    bus: Any, device: LoopbackDevice, step: str, error: str, message: str, remedy: str
) -> None:
    plugged = bus.plug(device.port, "0A1B", refused={step: usb_error(error)})
    transport = usb.usb_transport("0A1B")
    with pytest.raises(KitError, match=message) as told:
        transport.connect(30)
    assert re.search(remedy, told.value.remedy)
    transport.close()
    assert plugged.owner is None


def test_two_ways_to_one_device_shut_each_other_out(bus: Any, device: LoopbackDevice) -> None:
    bus.plug(device.port, "0A1B")
    first, second = usb.usb_transport("0A1B"), usb.usb_transport("0A1B")
    first.connect(30)
    with pytest.raises(DeviceError, match="Another program holds"):
        second.connect(30)
    first.close()
    second.connect(30)
    second.close()


def test_an_unplugged_device_is_a_lost_connection(bus: Any, device: LoopbackDevice) -> None:
    bus.plug(device.port, "0A1B")
    transport = usb.usb_transport("0A1B")
    bus.devices.clear()
    with pytest.raises(ConnectionLost, match="not on USB"):
        transport.connect(30)


def without_module(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    whole = builtins.__import__

    def load(name: str, *rest: Any) -> Any:
        if name == "usb1":
            raise error
        return whole(name, *rest)

    import adb_shell.transport

    monkeypatch.delattr(adb_shell.transport, "usb_transport", raising=False)
    monkeypatch.delitem(sys.modules, "adb_shell.transport.usb_transport", raising=False)
    monkeypatch.delitem(sys.modules, "usb1", raising=False)
    monkeypatch.setattr(builtins, "__import__", load)


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'usb1'"), OSError("libusb-1.0.so: not found")]
)
def test_a_missing_libusb_is_a_note_and_no_error(
    no_bus: None, alone: AdbAddress, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    without_module(monkeypatch, error)
    seen, notes = discovery.list_devices(alone)
    assert seen == []
    assert "adb start-server" in notes[0]
    assert str(error) in notes[1]
    assert "install libusb" in notes[1]
    with pytest.raises(DeviceError, match="install libusb"):
        usb.usb_transport("0A1B").connect(1)
    assert not discovery.is_attached(alone, "0A1B")


# --- how bytes are carried


@pytest.mark.parametrize("size", [4096 - 8, 4096, 16_384, 20_480, 65_536])
def test_payloads_that_fill_their_packets_arrive_whole(bus: Any, tmp_path: Path, size: int) -> None:
    """A stream cut at 4096 bytes is full of payloads that end with a full packet."""
    content = hashlib.shake_128(b"x").digest(size)
    (tmp_path / "file").write_bytes(content)
    with LoopbackDevice(tmp_path / "device", wire=OLD) as device:
        plugged = bus.plug(device.port, "0A1B")
        phone = AdbDevice(usb.usb_transport("0A1B"), patience_s=0, timeout_s=PATIENCE_S)
        phone.connect()
        phone.run(["mkdir", "-p", "/data/local/tmp/t"])
        sha256 = hashlib.sha256(content).hexdigest()
        phone.push(tmp_path / "file", "/data/local/tmp/t/x", sha256)
        assert phone.pull("/data/local/tmp/t/x") == content
        phone.close()
        assert (plugged.faults, device.connections) == ([], 1)


def test_the_far_end_waits_for_the_empty_packet_behind_a_full_one(bus: Any) -> None:
    """Otherwise the test above could not fail."""
    from tests.loopback.messages import Command, Message
    from tests.loopback.usb import FarEnd

    data = Message(command=Command.WRTE, arg0=1, arg1=1, payload=bytes(1024)).encode()
    end = FarEnd()
    assert end.take(data[:24]) == (b"", "")
    assert end.take(data[24:]) == (b"", "")
    assert end.take(b"") == (data, "")
    assert FarEnd().take(data)[1] == "a header of 1048 bytes"


def test_what_another_program_left_unread_is_thrown_away(bus: Any, device: LoopbackDevice) -> None:
    plugged = bus.plug(device.port, "0A1B")
    plugged.stale = bytes(range(256)) * 300
    phone = AdbDevice(usb.usb_transport("0A1B"), patience_s=0)
    phone.connect()
    assert phone.run(["echo", "clean"]).text == "clean"
    phone.close()


def test_a_device_that_is_silent_is_out_of_time(bus: Any, device: LoopbackDevice) -> None:
    bus.plug(device.port, "0A1B")
    transport = usb.usb_transport("0A1B")
    device.faults.freeze()
    with pytest.raises(DeviceTimeout):
        transport.connect(0.2)
    device.faults.thaw()
    transport.close()
