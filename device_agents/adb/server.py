"""Transport through the adb server that the user runs.

It also serves devices paired over Wi-Fi. The server is never started or
stopped here: it may hold devices for other programs.
"""

import contextlib
import re
import socket
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from adbutils import AdbClient, AdbConnection, AdbDevice, AdbError

from device_agents.adb.states import AMBIGUOUS, UNAUTHORIZED, USABLE, Unusable
from search.errors import ConnectionLost, DeviceTimeout

# Host and port; or the path of a local socket ("@name" for an abstract one) and 0.
ServerAddress = tuple[str, int]
DEFAULT_ADDRESS: ServerAddress = ("127.0.0.1", 5037)
_TRANSPORT_ID = "transport_id:"
_PORT = "usb:"
_CONNECT_S = 5.0
_RECV_BYTES = 1 << 18


class NoServer(Exception):
    """No adb server answers at this address."""


class _Connection(AdbConnection):  # type: ignore[misc]  # adbutils has no types
    """A connection that never starts a server when there is none."""

    def __init__(self, host: str, port: int) -> None:
        self._path = None if port else host
        super().__init__(host, port)

    def _safe_connect(self) -> socket.socket:
        if self._path is not None:
            local = socket.socket(socket.AF_UNIX)
            try:
                local.settimeout(_CONNECT_S)
                local.connect(re.sub("^@", "\0", self._path))
            except BaseException:
                local.close()
                raise
            return local
        connected: socket.socket = self._create_socket()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


class _Client(AdbClient):  # type: ignore[misc]
    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port or DEFAULT_ADDRESS[1])  # it reads variables in place of 0
        self._address = (host, port)

    def make_connection(self, timeout: float | None = None) -> AdbConnection:
        connection = _Connection(*self._address)
        connection.conn.settimeout(timeout or _CONNECT_S)
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """One line of the server's list: a device's name there and its state.

    The name is its serial number, or its USB port (else its transport id) where several
    devices share that number.
    """

    serial: str
    state: str


def server_name(address: ServerAddress) -> str:
    """The address as text: HOST:PORT, or the path of a local socket."""
    return f"{address[0]}:{address[1]}" if address[1] else address[0]


def server_devices(address: ServerAddress) -> list[ListedDevice]:
    """All devices that the server lists, usable or not, each under a name of its own.

    Raises:
        NoServer: There is no answer, or not one of an adb server.
    """
    rows = [line.partition("\t") for line in _ask(address, "host:devices") if line.strip()]
    # Old servers explain "no permissions" after the state; the state is enough.
    listed = [ListedDevice(serial=serial, state=_state(state)) for serial, _, state in rows]
    shared = {
        serial for serial, count in Counter(one.serial for one in listed).items() if count > 1
    }
    if not shared:
        return listed
    alone = [one for one in listed if one.serial not in shared]
    named = _by_port(_ask(address, "host:devices-l"), shared)
    if len(alone) + len(named) < len(listed):  # an answer of another form
        named = [replace(one, state=AMBIGUOUS) for one in listed if one.serial in shared]
    return [*alone, *named]


def _ask(address: ServerAddress, question: str) -> list[str]:
    """The lines of the server's answer."""
    try:
        with _Client(*address).make_connection() as connection:
            connection.send_command(question)
            connection.check_okay()
            text: str = connection.read_string_block()
    except (AdbError, OSError, ValueError) as error:
        raise NoServer(str(error)) from error
    return text.splitlines()


def _by_port(lines: list[str], shared: set[str]) -> list[ListedDevice]:
    """Devices that share a serial number, by port or transport id, from `host:devices-l`."""
    devices = []
    for line in lines:
        serial = next((one for one in shared if re.match(rf"{re.escape(one)}\s", line)), None)
        if serial is None:
            continue
        rest = line.removeprefix(serial)
        words = rest.split()
        names = [
            next((word for word in words if word.startswith(prefix)), None)
            for prefix in (_PORT, _TRANSPORT_ID)
        ]
        name = next((name for name in names if name), None)
        listed = ListedDevice(serial=name or serial, state=_state(rest))
        if name is None and listed.state == USABLE:
            listed = replace(listed, state=AMBIGUOUS)
        devices.append(listed)
    return devices


def is_network(serial: str) -> bool:
    """Whether this name is a network address."""
    host, _, port = serial.rpartition(":")
    return host not in ("", "usb", "transport_id") and port.isdigit()


def is_wireless(serial: str) -> bool:
    """Whether this is the name that a phone with wireless debugging announces (mDNS)."""
    return re.search(r"\._adb(-tls-connect|-tls-pairing)?\._tcp\.?$", serial) is not None


def can_call_back(serial: str) -> bool:
    """Whether the server can connect to this name over the network again."""
    return is_network(serial) or is_wireless(serial)


def is_place(serial: str) -> bool:
    """Whether this names a USB port or a transport of the server, not a serial number."""
    return serial.startswith((_PORT, _TRANSPORT_ID))


def _state(text: str) -> str:
    state = text.strip()
    return "no permissions" if state.startswith("no permissions") else state.split(" ")[0]


class ServerTransport:
    """Services of one device through the adb server."""

    def __init__(self, serial: str, address: ServerAddress = DEFAULT_ADDRESS) -> None:
        self.serial = serial
        self.connection = f"adb server {server_name(address)}"
        self._client = _Client(*address)
        number = serial.removeprefix(_TRANSPORT_ID)
        if number != serial and number.isdigit():
            self._device = AdbDevice(self._client, transport_id=int(number))
        else:
            self._device = AdbDevice(self._client, serial=serial)
        self._features: frozenset[str] = frozenset()

    @property
    def shell_v2(self) -> bool:
        """Whether the server lists the feature for the device."""
        return "shell_v2" in self._features

    def connect(self, timeout_s: float) -> None:
        """Ask for the device's features; the server reconnects a network device if it must."""
        with _translated_errors(self.serial):
            try:
                self._features = frozenset(self._device.get_features().split(","))
            except AdbError as error:
                if not can_call_back(self.serial):
                    raise
                # Connecting alone would answer that an offline device is connected.
                with contextlib.suppress(AdbError):
                    self._client.disconnect(self.serial)
                    self._client.connect(self.serial, timeout=timeout_s)
                try:
                    self._features = frozenset(self._device.get_features().split(","))
                except AdbError:
                    raise error from None

    def open(self, service: str, timeout_s: float) -> "SocketStream":
        """Open a service over a connection of its own."""
        with _translated_errors(self.serial):
            connection = self._device.open_transport(timeout=timeout_s)
            try:
                content = service.encode()
                connection.conn.sendall(f"{len(content):04x}".encode() + content)
                connection.check_okay()
            except BaseException:
                connection.close()
                raise
            return SocketStream(connection.conn)

    def close(self) -> None:
        """Nothing is held open between services."""


class _translated_errors:  # noqa: N801 (used like a function)
    """Turns the errors of adbutils into the kit's."""

    def __init__(self, serial: str) -> None:
        self.serial = serial

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AdbError):
            text = str(error)
            if "timeout" in text:
                raise DeviceTimeout(f"The adb server gave no answer for {self.serial}.") from error
            if "unauthorized" in text:
                raise Unusable(
                    f"The device {self.serial} has not allowed this computer (unauthorized).",
                    UNAUTHORIZED,
                ) from error
            if "more than one" in text:
                raise Unusable(f"The serial {self.serial} is not unique.", AMBIGUOUS) from error
            raise ConnectionLost(f"The adb server cannot reach {self.serial}: {text}.") from error
        if isinstance(error, OSError | EOFError | ValueError):
            raise ConnectionLost(f"The adb server broke off: {error}.") from error


class SocketStream:
    """A stream over a socket of its own."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def recv(self, timeout_s: float) -> bytes:
        """Return the bytes that have arrived."""
        try:
            self._socket.settimeout(timeout_s)
            return self._socket.recv(_RECV_BYTES)
        except TimeoutError as error:
            raise DeviceTimeout(f"The device said nothing for {timeout_s:.0f} s.") from error
        except OSError as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}.") from error

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send all, each part within the time."""
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(data)
        except TimeoutError as error:
            raise DeviceTimeout(f"The device took nothing for {timeout_s:.0f} s.") from error
        except OSError as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}.") from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
