"""Direct transport to a device's adb daemon, over TCP or USB, with adb-shell."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

from adb_shell import constants, exceptions
from adb_shell.adb_device import AdbDevice
from adb_shell.adb_message import AdbMessage
from adb_shell.hidden_helpers import _AdbTransactionInfo
from adb_shell.transport.base_transport import BaseTransport

from device_agents.adb.keys import load_signers
from device_agents.adb.states import UNAUTHORIZED, Unusable
from search.errors import ConnectionLost, DeviceError, DeviceTimeout

_CLOSE_S = 2.0
_TIMEOUTS = (exceptions.AdbTimeoutError, exceptions.TcpTimeoutException)
_BROKEN = (
    OSError,
    exceptions.AdbConnectionError,
    exceptions.InvalidChecksumError,
    exceptions.InvalidCommandError,
    exceptions.InvalidResponseError,
)


class PromptTcp(BaseTransport):  # type: ignore[misc]  # adb-shell has no types
    """TCP that sends at once, sends all, and notices the other end leaving.

    adb-shell's own transport waits for acknowledgements (Nagle), ignores
    short counts, and reads nothing for ever from a closed connection.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def connect(self, transport_timeout_s: float | None) -> None:
        """Connect within the time."""
        connected = socket.create_connection(self._address, timeout=transport_timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected

    def close(self) -> None:
        """Close; works twice."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Return at least one byte, or raise."""
        connected = self._connected()
        ready, _, _ = select.select([connected], [], [], transport_timeout_s)
        if not ready:
            raise exceptions.TcpTimeoutException(f"nothing came for {transport_timeout_s} s")
        data = connected.recv(numbytes)
        if not data:
            raise ConnectionResetError("the device closed the connection")
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send all of it."""
        connected = self._connected()
        connected.settimeout(transport_timeout_s)
        try:
            connected.sendall(data)
        except TimeoutError as error:
            raise exceptions.TcpTimeoutException(str(error)) from error
        return len(data)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket


class _Daemon(AdbDevice):  # type: ignore[misc]
    """adb-shell's device, with services as streams of bytes in both directions.

    adb-shell itself offers them only for single commands.
    """

    def open_service(self, service: str, timeout_s: float) -> "_DaemonStream":
        with self._local_id_lock:
            self._local_id += 1
            call = _AdbTransactionInfo(self._local_id, None, timeout_s, timeout_s, None)
        self._io_manager.send(
            AdbMessage(constants.OPEN, call.local_id, 0, service.encode() + b"\0"), call
        )
        command, remote, _, _ = self._io_manager.read(
            [constants.OKAY, constants.CLSE], call, allow_zeros=True
        )
        if command == constants.CLSE:
            raise DeviceError(
                f"The device offers no service {service.partition(':')[0]!r}.",
                "Restart its adb daemon: switch USB debugging off and on.",
            )
        call.remote_id = remote
        return _DaemonStream(self, call)

    def receive(self, call: Any, commands: list[bytes]) -> tuple[bytes, bytes]:
        command, data = self._read_until(commands, call)
        return command, data

    def send_message(self, command: bytes, call: Any, data: bytes = b"") -> None:
        self._io_manager.send(AdbMessage(command, call.local_id, call.remote_id, data), call)


class _DaemonStream:
    """One service; every packet sent waits for its acknowledgement."""

    def __init__(self, daemon: _Daemon, call: Any) -> None:
        self._daemon = daemon
        self._call = call
        self._received: list[bytes] = []
        self._open = True

    def recv(self, timeout_s: float) -> bytes:
        """Return the data of one packet."""
        if self._received:
            return self._received.pop(0)
        deadline = time.monotonic() + timeout_s
        while self._open:
            self._limit(max(deadline - time.monotonic(), 0.01))
            with translated_errors():
                command, data = self._daemon.receive(self._call, [constants.WRTE, constants.CLSE])
            if command == constants.CLSE:
                self._closed()
            elif data:
                return data
        return b""

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send packets of the largest size that the device takes."""
        size = self._daemon._maxdata
        for start in range(0, len(data), size):
            self._limit(timeout_s)
            with translated_errors():
                self._send_packet(data[start : start + size])

    def _send_packet(self, data: bytes) -> None:
        if not self._open:
            raise ConnectionLost("The device closed the stream.")
        self._daemon.send_message(constants.WRTE, self._call, data)
        while True:
            commands = [constants.OKAY, constants.WRTE, constants.CLSE]
            command, answer = self._daemon.receive(self._call, commands)
            if command == constants.OKAY:
                return
            if command == constants.WRTE:
                self._received.append(answer)
            else:
                self._closed()
                raise ConnectionLost("The device closed the stream.")

    def close(self) -> None:
        """Close the service, and wait until the device confirms."""
        if not self._open:
            return
        self._open = False
        self._limit(_CLOSE_S)
        with contextlib.suppress(Exception):  # a broken connection is closed anyway
            self._daemon.send_message(constants.CLSE, self._call)
            while self._daemon.receive(self._call, [constants.WRTE, constants.CLSE])[0] != (
                constants.CLSE
            ):
                pass

    def _closed(self) -> None:
        self._open = False
        with translated_errors():
            self._daemon.send_message(constants.CLSE, self._call)

    def _limit(self, timeout_s: float) -> None:
        self._call.transport_timeout_s = self._call.read_timeout_s = timeout_s


class DirectTransport:
    """Services of one daemon that adb-shell is connected to."""

    # adb-shell does not report the features; all devices have protocol 1.
    shell_v2 = False

    def __init__(self, serial: str, connection: str, medium: BaseTransport) -> None:
        self.serial = serial
        self.connection = connection
        self._daemon = _Daemon(medium)
        self._key_offered = False

    def connect(self, timeout_s: float) -> None:
        """Connect and authenticate with the user's adb key."""
        self._key_offered = False
        with translated_errors(self.serial):
            try:
                self._daemon.connect(
                    rsa_keys=load_signers(),
                    transport_timeout_s=timeout_s,
                    auth_timeout_s=timeout_s,
                    read_timeout_s=timeout_s,
                    auth_callback=self._on_key_offered,
                )
            except (*_TIMEOUTS, OSError) as error:
                if not self._key_offered:
                    raise
                raise Unusable(
                    f"The device {self.serial} has not allowed this computer (unauthorized).",
                    UNAUTHORIZED,
                ) from error

    def _on_key_offered(self, _: object) -> None:
        self._key_offered = True

    def open(self, service: str, timeout_s: float) -> _DaemonStream:
        """Open a service on the one connection."""
        with translated_errors(self.serial):
            return self._daemon.open_service(service, timeout_s)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):  # a broken connection is closed anyway
            self._daemon.close()


def tcp_transport(host: str, port: int) -> DirectTransport:
    """Transport to a daemon that listens on TCP (`adb tcpip 5555`)."""
    return DirectTransport(f"{host}:{port}", f"TCP {host}:{port}", PromptTcp(host, port))


@contextlib.contextmanager
def translated_errors(serial: str = "the device") -> Iterator[None]:
    """Turn the errors of adb-shell into the kit's."""
    try:
        yield
    except exceptions.DeviceAuthError as error:
        raise Unusable(
            f"The device {serial} refused this computer's adb key (unauthorized).", UNAUTHORIZED
        ) from error
    except (*_TIMEOUTS, TimeoutError) as error:
        raise DeviceTimeout(f"No answer from {serial} in time.") from error
    except _BROKEN as error:
        raise ConnectionLost(f"The connection to {serial} broke: {error}.") from error
