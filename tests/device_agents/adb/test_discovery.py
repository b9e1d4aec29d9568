"""Which device is meant: states, patterns, serials, and what to do about each."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from device_agents.adb import device as adb_device
from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.adb.detected import DetectedDevice
from device_agents.adb.states import ADVICE
from device_agents.device import Device, load_device
from device_agents.registry import find_device
from search.errors import DeviceError, UsageError
from tests.device_agents.conftest import Connection, free_port
from tests.loopback.adb_server import AdbServer
from tests.loopback.device import LoopbackDevice
from tests.loopback.phone import this_host
from tests.waiting import wait_until

PIXEL = load_device("pixel")
ANDROID = load_device("android")


class ScriptedServer:
    """Answers `host:devices` as an adb server would, and nothing else."""

    def __init__(self, listing: str) -> None:
        self._listing = listing.encode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                asked, _ = self._socket.accept()
            except OSError:
                return
            with asked:
                asked.recv(1000)
                asked.sendall(b"OKAY" + b"%04x" % len(self._listing) + self._listing)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listing() -> Iterator[Callable[[str], AdbAddress]]:
    servers: list[ScriptedServer] = []

    def make(text: str) -> AdbAddress:
        servers.append(ScriptedServer(text))
        return AdbAddress(server=servers[-1].address)

    yield make
    for server in servers:
        server.close()


@pytest.mark.parametrize("state", sorted(ADVICE))
def test_each_state_is_named_with_what_to_do(
    listing: Callable[[str], AdbAddress], state: str
) -> None:
    with pytest.raises(DeviceError) as told:
        discovery.select_devices(PIXEL, listing(f"0A1B\t{state}\n"))
    assert f"0A1B: {state}" in told.value.message
    assert "model Pixel*" in told.value.message
    assert ADVICE[state] in told.value.remedy


def test_no_permissions_is_known_with_its_explanation(listing: Callable[[str], AdbAddress]) -> None:
    text = "????????????\tno permissions (user in plugdev group); see [http://x/y]\n"
    (seen,), _ = discovery.list_devices(listing(text))
    assert seen.state == "no permissions"
    assert "udev" in seen.advice


def test_without_a_server_the_command_that_starts_one_is_named() -> None:
    with pytest.raises(DeviceError, match=r"adb start-server.*--connect"):
        discovery.select_devices(PIXEL, AdbAddress(server=("127.0.0.1", free_port())))


def test_an_empty_list_says_how_to_attach(listing: Callable[[str], AdbAddress]) -> None:
    with pytest.raises(DeviceError, match=r"Seen: nothing.*USB debugging"):
        discovery.select_devices(PIXEL, listing(""))


def test_a_hostile_serial_reaches_no_terminal(listing: Callable[[str], AdbAddress]) -> None:
    with pytest.raises(DeviceError) as told:
        discovery.select_devices(PIXEL, listing("\x1b[2J$(id)\tunauthorized\n"))
    assert "\x1b" not in told.value.message


def test_a_nonsensical_server_is_no_server(listing: Callable[[str], AdbAddress]) -> None:
    address = listing("x")
    with pytest.raises(DeviceError, match="nothing"):
        discovery.select_devices(PIXEL, replace(address, server=("127.0.0.1", 1)))


def pixel(serial: str, model: str = "Pixel 8") -> dict[str, object]:
    return {"phone": replace(this_host(), manufacturer="Google", model=model, serial=serial)}


def test_a_model_is_matched_by_its_pattern(connect_device: Callable[..., Connection]) -> None:
    device, _ = connect_device("tcp", **pixel("A"))
    (found,) = discovery.select_devices(PIXEL, AdbAddress(connect=("127.0.0.1", device.port)))
    assert (found.model, found.state) == ("Pixel 8", "device")


def test_another_model_is_refused_and_the_way_to_use_it_named(
    connect_device: Callable[..., Connection],
) -> None:
    device, _ = connect_device("tcp", **pixel("A", "Galaxy S8"))
    with pytest.raises(DeviceError, match=r"Galaxy S8.*--device android --serial"):
        discovery.select_devices(PIXEL, AdbAddress(connect=("127.0.0.1", device.port)))


def test_a_device_that_refuses_the_key_is_unauthorized(
    connect_device: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb_device, "CONNECT_S", 1.5)
    device, _ = connect_device("tcp", keys=[], accept_offers=False)
    (seen,), _ = discovery.list_devices(AdbAddress(connect=("127.0.0.1", device.port)))
    assert seen.state == "unauthorized"


@pytest.fixture
def two(
    connect_device: Callable[..., Connection], server: AdbServer
) -> tuple[AdbAddress, list[str]]:
    connections = [connect_device("server", **pixel(name)) for name in ("A", "B")]
    return AdbAddress(server=("127.0.0.1", server.port)), [
        connection[1].serial for connection in connections
    ]


def test_several_matches_are_never_decided_silently(two: tuple[AdbAddress, list[str]]) -> None:
    address, serials = two
    with pytest.raises(UsageError, match="Several devices match") as told:
        discovery.select_devices(PIXEL, address)
    assert all(serial in str(told.value) for serial in serials)
    assert f"--serial {','.join(serials)}" in told.value.remedy or (
        f"--serial {','.join(reversed(serials))}" in told.value.remedy
    )


def test_a_serial_decides_and_two_share(two: tuple[AdbAddress, list[str]]) -> None:
    address, serials = two
    (one,) = discovery.select_devices(PIXEL, replace(address, serials=(serials[1],)))
    assert one.serial == serials[1]
    both = discovery.select_devices(PIXEL, replace(address, serials=tuple(serials)))
    assert [one.serial for one in both] == serials


def went_away(device: LoopbackDevice, server: AdbServer) -> None:
    """Its daemon was killed, and the server has noticed."""
    device.stop()
    wait_until(
        lambda: f"{device.address}\toffline" in server.call("devices"),
        "the server calls the device offline",
    )


def test_a_device_that_the_server_lost_and_that_is_back_is_called_back(
    connect_device: Callable[..., Connection], server: AdbServer
) -> None:
    device, transport = connect_device("server", **pixel("A"))
    went_away(device, server)
    device.start()
    asked = AdbAddress(server=("127.0.0.1", server.port), serials=(transport.serial,))
    (found,) = discovery.select_devices(PIXEL, asked)
    assert (found.serial, found.state) == (device.address, "device")


def test_a_network_device_that_stays_away_is_not_to_be_unplugged(
    connect_device: Callable[..., Connection], server: AdbServer
) -> None:
    device, transport = connect_device("server", **pixel("A"))
    went_away(device, server)
    asked = AdbAddress(server=("127.0.0.1", server.port), serials=(transport.serial,))
    with pytest.raises(DeviceError, match=rf"is offline .*adb connect {device.address}") as told:
        discovery.select_devices(PIXEL, asked)
    assert "unplug" not in told.value.remedy


def test_an_attached_serial_is_a_device_name(two: tuple[AdbAddress, list[str]]) -> None:
    address, serials = two
    device = find_device(serials[0], adb_server=f"127.0.0.1:{address.server[1]}")
    assert (device.platform, device.options["serial"]) == ("android", serials[0])


def test_a_serial_that_is_not_attached_is_named(listing: Callable[[str], AdbAddress]) -> None:
    address = replace(listing("0A1B\toffline\n"), serials=("ZZ",))
    with pytest.raises(DeviceError, match=r"serial ZZ.*0A1B: offline"):
        discovery.select_devices(PIXEL, address)


def test_devices_of_two_models_never_share(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [
        DetectedDevice(
            serial=name, state="device", connection="x", model=model, properties={"model": model}
        )
        for name, model in (("A", "Pixel 7"), ("B", "Pixel 8"))
    ]
    monkeypatch.setattr(discovery, "list_devices", lambda *_, **__: (seen, []))
    with pytest.raises(UsageError, match="never share a table"):
        discovery.select_devices(PIXEL, AdbAddress(serials=("A", "B")))


@pytest.mark.parametrize(
    ("text", "options", "serial"),
    [("pixel", {}, None), ("pixel@A", {}, "A"), ("pixel", {"serial": "A,B"}, "A,B")],
)
def test_the_serial_stands_behind_the_name_or_in_its_option(
    text: str, options: dict[str, str], serial: str | None
) -> None:
    device = find_device(text, **options)
    assert (device.name, device.options.get("serial")) == ("pixel", serial)


def test_ways_to_a_phone_are_refused_for_other_devices() -> None:
    with pytest.raises(UsageError, match="not reached by adb"):
        find_device("host", serial="A")
    with pytest.raises(UsageError, match="once"):
        find_device("pixel@A", serial="B")


def test_a_mistyped_name_is_still_an_unknown_device() -> None:
    with pytest.raises(UsageError, match="Unknown device 'pixle'"):
        find_device("pixle", adb_server=f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize("text", ["here", ":0", "a:b", "a:70000", "$(id):5"])
def test_an_address_must_be_host_and_port(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        AdbAddress.of({"connect": text})


def test_adbs_own_variables_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_SERIAL", "A")
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:box:7000")
    assert AdbAddress.of({}) == AdbAddress(server=("box", 7000), serials=("A",))


def test_an_unknown_option_of_a_device_file_is_named() -> None:
    broken = Device.model_validate({**ANDROID.model_dump(), "options": {"usb": "x"}})
    with pytest.raises(UsageError, match="usb"):
        AdbAddress.of(broken.options)


def test_a_loopback_device_is_listed_by_its_own_daemon(
    connect_device: Callable[..., Connection],
) -> None:
    device: LoopbackDevice
    device, _ = connect_device("tcp")
    seen, notes = discovery.list_devices(AdbAddress(connect=("127.0.0.1", device.port)))
    assert [(one.model, one.state) for one in seen] == [("Loopback", "device")]
    assert notes == []
