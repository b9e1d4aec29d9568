"""One phone behind several names, several phones behind one name, and servers by variables."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress, server_of_environment
from device_agents.adb.detected import DetectedDevice, one_connection_each
from device_agents.adb.states import ADVICE
from device_agents.android.fleet import Fleet
from device_agents.base import AgentSettings
from device_agents.device import load_device
from search.errors import DeviceError, UsageError
from tests.device_agents.adb.named_server import Listed, NamedServer
from tests.device_agents.conftest import Connection
from tests.loopback.adb_server import AdbServer
from tests.loopback.device import LoopbackDevice
from tests.loopback.phone import this_host
from tests.waiting import PATIENCE_S

ANDROID = load_device("android")
CHEAP = "0123456789ABCDEF"
WIRELESS = "adb-0A1B-x3Yz._adb-tls-connect._tcp"

Serve = Callable[..., AdbAddress]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[NamedServer] = []

    def make(*listing: Listed, path: Path | None = None) -> AdbAddress:
        servers.append(NamedServer(listing, path))
        return AdbAddress(server=servers[-1].address)

    yield make
    for server in servers:
        server.close()


def seen(serial: str, own: str | None = "0A1B", boot: str | None = "b") -> DetectedDevice:
    return DetectedDevice(
        serial=serial,
        state="device",
        connection="x",
        model="M",
        properties={},
        own_serial=own,
        boot_id=boot,
    )


# --- one phone, several connections


def test_the_cable_is_taken_before_wifi_and_an_address_before_an_announced_name() -> None:
    phones = one_connection_each([seen(WIRELESS), seen("10.0.0.7:5555"), seen("0A1B")])
    assert [(one.serial, one.others) for one in phones] == [("0A1B", ("10.0.0.7:5555", WIRELESS))]


def test_two_cables_are_two_phones_though_they_state_one_number() -> None:
    two = [seen("usb:1-1", CHEAP, None), seen("usb:1-2", CHEAP, None)]
    assert one_connection_each(two) == two
    assert len(one_connection_each([seen("a:1", CHEAP, "x"), seen("b:1", CHEAP, "y")])) == 2


def test_devices_that_do_not_answer_are_never_taken_for_one() -> None:
    lost = [replace(seen(name), state="offline", own_serial=None, boot_id=None) for name in "ab"]
    assert one_connection_each(lost) == lost


def test_a_phone_by_cable_and_by_wifi_is_one_device_and_that_is_said(
    connect_device: Callable[..., Connection], serve: Serve
) -> None:
    device, _ = connect_device("tcp")
    names = [WIRELESS, "0A1B", "10.0.0.7:5555"]
    address = serve(*(Listed(serial=name, device=device) for name in names))
    said: list[str] = []
    (found,) = discovery.select_devices(ANDROID, address, said.append)
    assert found.serial == "0A1B"
    assert "One phone has 3 connections: 0A1B" in said[0]
    wireless = replace(address, serials=(WIRELESS,))  # who names a connection gets it
    assert discovery.select_devices(ANDROID, wireless)[0].serial == WIRELESS
    with pytest.raises(UsageError, match="connections to one phone"):
        discovery.select_devices(ANDROID, replace(address, serials=("0A1B", WIRELESS)))


def test_an_adb_server_that_lists_one_phone_twice_has_one_phone(
    connect_device: Callable[..., Connection], server: AdbServer
) -> None:
    device, transport = connect_device("server")
    again = server.connect(f"localhost:{device.port}")
    try:
        said: list[str] = []
        address = AdbAddress(server=("127.0.0.1", server.port))
        (found,) = discovery.select_devices(ANDROID, address, said.append)
        assert {found.serial, *found.others} == {transport.serial, again}
        assert len(said) == 1
    finally:
        server.call("disconnect", again)


def test_a_phone_is_found_by_the_number_that_it_states_itself(
    connect_device: Callable[..., Connection], serve: Serve
) -> None:
    device, _ = connect_device("tcp", phone=replace(this_host(), serial="0A1B"))
    address = replace(serve(Listed(serial="10.0.0.7:5555", device=device)), serials=("0A1B",))
    assert discovery.select_devices(ANDROID, address)[0].serial == "10.0.0.7:5555"


# --- several phones, one serial number


@pytest.fixture
def cheap(connect_device: Callable[..., Connection]) -> tuple[LoopbackDevice, LoopbackDevice]:
    phones = [replace(this_host(), serial=CHEAP, android_id=text) for text in ("a1", "b2")]
    first, second = (connect_device("tcp", phone=phone)[0] for phone in phones)
    return first, second


@pytest.mark.parametrize("ports", [("usb:1-1", "usb:1-2"), ("", "")])
def test_phones_that_share_a_serial_are_told_apart_by_port_or_transport(
    cheap: tuple[LoopbackDevice, LoopbackDevice], serve: Serve, ports: tuple[str, str]
) -> None:
    listing = [
        Listed(serial=CHEAP, port=port, device=device)
        for port, device in zip(ports, cheap, strict=True)
    ]
    address = serve(Listed(serial="other", state="unauthorized"), *listing)
    names = ["usb:1-1", "usb:1-2"] if ports[0] else ["transport_id:2", "transport_id:3"]
    found, _ = discovery.list_devices(address)
    assert [one.serial for one in found] == ["other", *names]
    assert [one.state for one in found] == ["unauthorized", "device", "device"]
    with pytest.raises(UsageError, match="Several devices match") as told:
        discovery.select_devices(ANDROID, address)
    assert names[0] in told.value.remedy
    with pytest.raises(UsageError, match=rf"{CHEAP} is not unique.*--serial {names[0]}"):
        discovery.select_devices(ANDROID, replace(address, serials=(CHEAP,)))
    (one,) = discovery.select_devices(ANDROID, replace(address, serials=(names[1],)))
    assert one.serial == names[1]


def test_phones_that_share_a_serial_can_share_the_work(
    cheap: tuple[LoopbackDevice, LoopbackDevice],
    serve: Serve,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KIT_ANDROID_RUNNER", "/bin/true")
    ports = ("usb:1-1", "usb:1-2")
    host, port = serve(
        *(
            Listed(serial=CHEAP, port=name, device=device)
            for name, device in zip(ports, cheap, strict=True)
        )
    ).server
    options = {"adb_server": f"{host}:{port}", "serial": ",".join(ports)}
    settings = AgentSettings(
        backend="xnnpack", threads=1, affinity=None, timeout_s=PATIENCE_S, say=lambda _: None
    )
    with Fleet(ANDROID.model_copy(update={"options": options}), settings) as fleet:
        assert len(set((fleet.info().serial_hash or "").split("+"))) == 2
        assert all(device.settings.fixed_performance for device in cheap)
    assert not any(device.settings.fixed_performance for device in cheap)


def test_a_server_that_cannot_tell_them_apart_says_so_and_not_offline(serve: Serve) -> None:
    class Old(NamedServer):
        def _lines(self, long: bool) -> str:
            return super()._lines(False)

    server = Old([Listed(serial=CHEAP), Listed(serial=CHEAP)])
    found, _ = discovery.list_devices(AdbAddress(server=server.address))
    server.close()
    assert [(one.state, one.advice) for one in found] == [("ambiguous", ADVICE["ambiguous"])] * 2


# --- errors are told as they are


def test_an_error_that_is_none_of_the_connection_is_not_called_offline(
    connect_device: Callable[..., Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path / "keys"))
    (tmp_path / "keys/adbkey").mkdir(parents=True)
    device, _ = connect_device("tcp")
    (found,), _ = discovery.list_devices(AdbAddress(connect=("127.0.0.1", device.port)))
    assert found.state == "broken"
    assert "adb key" in found.reason
    assert "Make it readable" in found.advice
    with pytest.raises(DeviceError, match=r"broken \(The adb key.*Make it readable") as told:
        discovery.select_devices(ANDROID, AdbAddress(connect=("127.0.0.1", device.port)))
    assert "unplug" not in str(told.value)


def test_an_offline_device_tells_the_error_that_it_answered_with(serve: Serve) -> None:
    class Busy(NamedServer):
        def _find(self, question: str) -> list[Listed]:
            return []

    server = Busy([Listed(serial="0A1B")])
    (found,), _ = discovery.list_devices(AdbAddress(server=server.address))
    server.close()
    assert (found.state, "device not found" in found.trouble) == ("offline", True)


@pytest.mark.parametrize("name", [WIRELESS, f"{WIRELESS}.", "adb-0A1B._adb._tcp"])
def test_a_wireless_phone_that_is_offline_is_called_back_over_wifi(serve: Serve, name: str) -> None:
    address = serve(Listed(serial=name, state="offline"))
    with pytest.raises(DeviceError, match=r"Wi-Fi.*adb connect") as told:
        discovery.select_devices(ANDROID, address)
    assert "unplug" not in str(told.value)


def test_a_wireless_phone_that_can_be_called_back_is_used(
    connect_device: Callable[..., Connection], serve: Serve
) -> None:
    device, _ = connect_device("tcp")
    address = serve(Listed(serial=WIRELESS, state="offline", device=device, returns=True))
    (found,) = discovery.select_devices(ANDROID, address)
    assert (found.serial, found.state) == (WIRELESS, "device")


# --- adb's variables


@pytest.mark.parametrize(
    ("variables", "server"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "box"}, ("box", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "7000"}, ("127.0.0.1", 7000)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "::1", "ANDROID_ADB_SERVER_PORT": "7"}, ("::1", 7)),
        ({"ADB_SERVER_SOCKET": "tcp:7001", "ANDROID_ADB_SERVER_PORT": "7"}, ("127.0.0.1", 7001)),
        ({"ADB_SERVER_SOCKET": "tcp:box:7001"}, ("box", 7001)),
        ({"ADB_SERVER_SOCKET": "localfilesystem:/run/adb"}, ("/run/adb", 0)),
        ({"ADB_SERVER_SOCKET": "localabstract:adb"}, ("@adb", 0)),
    ],
)
def test_the_server_is_where_adbs_variables_say(
    variables: dict[str, str], server: tuple[str, int]
) -> None:
    assert server_of_environment(variables) == server


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ADB_SERVER_SOCKET", "here"),
        ("ADB_SERVER_SOCKET", "tcp:"),
        ("ADB_SERVER_SOCKET", "tcp:box"),
        ("ADB_SERVER_SOCKET", "localfilesystem:"),
        ("ADB_SERVER_SOCKET", "vsock:1:2"),
        ("ANDROID_ADB_SERVER_PORT", "http"),
        ("ANDROID_ADB_SERVER_PORT", "70000"),
        ("ANDROID_ADB_SERVER_ADDRESS", "a b"),
    ],
)
def test_a_malformed_variable_is_named_and_no_option_is_blamed(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name) as told:
        server_of_environment({name: text})
    assert "--adb-server" not in str(told.value)


def test_a_server_on_a_local_socket_is_asked_there(
    connect_device: Callable[..., Connection],
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device, _ = connect_device("tcp")
    serve(Listed(serial="0A1B", device=device), path=tmp_path / "adb")
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{tmp_path}/adb")
    options: dict[str, Any] = {}
    (found,) = discovery.select_devices(ANDROID, AdbAddress.of(options))
    assert (found.serial, found.connection) == ("0A1B", f"adb server {tmp_path}/adb")


# --- what `devices` lists


def test_the_list_names_the_better_connection_and_the_reason_of_a_broken_one(
    connect_device: Callable[..., Connection], serve: Serve
) -> None:
    from typer.testing import CliRunner

    from profiler.cli.app import app

    device, _ = connect_device("tcp")
    host, port = serve(
        Listed(serial="0A1B", device=device),
        Listed(serial=WIRELESS, device=device),
        Listed(serial="10.0.0.8:5555", state="unauthorized"),
    ).server
    words = ["devices", "--adb-server", f"{host}:{port}"]
    listed = CliRunner().invoke(app, words).output
    assert f"{WIRELESS}  device  Loopback" in listed
    assert "the same phone as 0A1B" in listed
    assert "--device android --serial 0A1B" in listed
    rows = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).output)
    assert [row["reason"] for row in rows if "serial" in row] == [None, None, None]
