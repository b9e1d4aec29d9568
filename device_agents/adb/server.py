"""Transport through the adb server that the user runs.

It also serves devices paired over Wi-Fi. The server is never started or
stopped here: it may hold devices for other programs.
"""

import contextlib
import socket
from dataclasses import dataclass
from typing import Any

from adbutils import AdbClient, AdbConnection, AdbDevice, AdbError

from search.errors import ConnectionLost, DeviceError, DeviceTimeout

DEFAULT_ADDRESS = ("127.0.0.1", 5037)
_CONNECT_S = 5.0
_RECV_BYTES = 1 << 18


class NoServer(Exception):
    """No adb server answers at this address."""


class _Connection(AdbConnection):  # type: ignore[misc]  # adbutils has no types
    """A connection that never starts a server when there is none."""

    def _safe_connect(self) -> socket.socket:
        connected: socket.socket = self._create_socket()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


class _Client(AdbClient):  # type: ignore[misc]
    def make_connection(self, timeout: float | None = None) -> AdbConnection:
        connection = _Connection(self.host, self.port)
        connection.conn.settimeout(timeout or _CONNECT_S)
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """One line of the server's list: a device's serial and its state."""

    serial: str
    state: str


def server_devices(address: tuple[str, int]) -> list[ListedDevice]:
    """All devices that the server lists, usable or not.

    Raises:
        NoServer: There is no answer, or not one of an adb server.
    """
    try:
        with _Client(*address).make_connection() as connection:
            connection.send_command("host:devices")
            connection.check_okay()
            text = connection.read_string_block()
    except (AdbError, OSError, ValueError) as error:
        raise NoServer(str(error)) from error
    rows = [line.partition("\t") for line in text.splitlines() if line.strip()]
    # Old servers explain "no permissions" after the state; the state is enough.
    return [ListedDevice(serial=serial, state=_state(state)) for serial, _, state in rows]


def is_network(serial: str) -> bool:
    """Whether this serial is a network address."""
    host, _, port = serial.rpartition(":")
    return host not in ("", "usb") and port.isdigit()


def _state(text: str) -> str:
    state = text.strip()
    return "no permissions" if state.startswith("no permissions") else state.split(" ")[0]


class ServerTransport:
    """Services of one device through the adb server."""

    def __init__(self, serial: str, address: tuple[str, int] = DEFAULT_ADDRESS) -> None:
        self.serial = serial
        self.connection = f"adb server {address[0]}:{address[1]}"
        self._client = _Client(*address)
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
                if not is_network(self.serial):
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
                raise DeviceError(
                    f"The device {self.serial} has not allowed this computer (unauthorized).",
                    "Unlock it and accept the question about USB debugging, then run again.",
                ) from error
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
