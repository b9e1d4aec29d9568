"""Loopback devices, a private adb server, and transports to them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.adb import usb
from device_agents.adb.device import AdbDevice
from device_agents.adb.direct import tcp_transport
from device_agents.adb.server import ServerTransport
from device_agents.adb.transport import AdbTransport
from device_agents.adb.usb import NoUsb
from tests.loopback.adb_server import AdbServer
from tests.loopback.connection import OLD
from tests.loopback.device import LoopbackDevice
from tests.loopback.phone import this_host
from tests.waiting import PATIENCE_S

TRANSPORTS = ("tcp", "tcp-old", "server", "usb")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of its own; none of the user's variables point to a device."""
    home = tmp_path_factory.getbasetemp() / "android-home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("ANDROID_USER_HOME", str(home))
    for name in (
        "ANDROID_SERIAL",
        "ADB_SERVER_SOCKET",
        "ANDROID_ADB_SERVER_ADDRESS",
        "ANDROID_ADB_SERVER_PORT",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is plugged into this computer is no matter of the tests."""
    with suppress(NoUsb):
        monkeypatch.setattr(usb._library().UsbTransport, "USB1_CTX", NoDevices())


class NoDevices:
    def getDeviceIterator(self, skip_on_error: bool) -> Iterator[object]:
        return iter(())


@pytest.fixture
def bus(no_bus: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A USB bus of the test's own, with nothing on it."""
    try:
        library = usb._library()
    except NoUsb as error:
        pytest.skip(str(error))
    from tests.loopback.usb import Bus

    made = Bus()
    monkeypatch.setattr(library.UsbTransport, "USB1_CTX", made)
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    if not AdbServer.installed():
        pytest.skip("Debian's adb is not installed")
    with AdbServer(tmp_path_factory.mktemp("adb-home")) as made:
        yield made


Connection = tuple[LoopbackDevice, AdbTransport]


@pytest.fixture
def connect_device(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., Connection]]:
    """Make a device and a transport to it: `connect_device("tcp", phone=...)`."""
    with ExitStack() as stack:

        def make(connection: str, **options: Any) -> Connection:
            root = tmp_path / f"device{len(list(tmp_path.glob('device*')))}"
            if connection == "tcp-old":
                old = replace(options.pop("phone", this_host()), old_terminal=True)
                options = {"phone": old, "wire": OLD, **options}
            device = stack.enter_context(LoopbackDevice(root, **options))
            if connection == "server":
                server: AdbServer = request.getfixturevalue("server")
                serial = server.connect(device.address)
                stack.callback(server.call, "disconnect", serial)
                return device, ServerTransport(serial, ("127.0.0.1", server.port))
            if connection == "usb":
                found = request.getfixturevalue("bus")
                serial = f"USB{len(found.devices)}"
                found.plug(device.port, serial)
                return device, usb.usb_transport(serial)
            return device, tcp_transport("127.0.0.1", device.port)

        yield make


@pytest.fixture(params=TRANSPORTS)
def connection(
    request: pytest.FixtureRequest, connect_device: Callable[..., Connection]
) -> Connection:
    return connect_device(request.param)


@pytest.fixture
def device(connection: Connection) -> LoopbackDevice:
    return connection[0]


@pytest.fixture
def phone(connection: Connection) -> Iterator[AdbDevice]:
    found = AdbDevice(connection[1], patience_s=PATIENCE_S, timeout_s=PATIENCE_S)
    found.connect()
    yield found
    found.close()
