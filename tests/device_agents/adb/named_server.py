"""An adb server in this process whose list is the test's: names, shared serials, ports.

It knows what the kit asks of a server. Services are those of loopback devices.
"""

import contextlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device_agents.adb.direct import tcp_transport
from tests.loopback.device import LoopbackDevice
from tests.waiting import PATIENCE_S


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One line of the list; without a device it is only listed."""

    serial: str
    port: str = ""
    state: str = "device"
    device: LoopbackDevice | None = None
    # Offline until the server is told to connect to it.
    returns: bool = False


class NamedServer:
    """Serves until `close`.

    Args:
        listing: What it lists; the number in the list is the transport id.
        path: A local socket to listen on, instead of a port.
    """

    def __init__(self, listing: Sequence[Listed], path: Path | None = None) -> None:
        self._listing = dict(enumerate(listing, 1))
        self.asked: list[str] = []
        if path is None:
            self._socket = socket.create_server(("127.0.0.1", 0))
            self.address: tuple[str, int] = ("127.0.0.1", self._socket.getsockname()[1])
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self._socket.listen()
            self.address = (str(path), 0)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError, ValueError):
            question = _read(connected)
            self.asked.append(question)
            if question == "host:version":
                return connected.sendall(b"OKAY" + _block("0029"))
            if question in ("host:devices", "host:devices-l"):
                return connected.sendall(b"OKAY" + _block(self._lines(question.endswith("-l"))))
            if question.startswith(("host:connect:", "host:disconnect:")):
                return connected.sendall(b"OKAY" + _block(self._call(question)))
            found = self._find(question)
            if len(found) != 1:
                reason = "more than one device" if found else "device not found"
                return connected.sendall(b"FAIL" + _block(reason))
            if found[0].state == "offline":
                return connected.sendall(b"FAIL" + _block("device offline"))
            if question.endswith(":features"):
                return connected.sendall(b"OKAY" + _block("cmd"))
            connected.sendall(b"OKAY" + (b"\1\0\0\0\0\0\0\0" if ":tport:" in question else b""))
            return self._service(connected, found[0])

    def _call(self, question: str) -> str:
        """Connect to what was told to come back; its name stays in the list either way."""
        _, verb, name = question.split(":", 2)
        for number, one in self._listing.items():
            if one.serial == name and one.returns and verb == "connect":
                self._listing[number] = replace(one, state="device")
                return f"connected to {name}"
        return f"failed to {verb} {name}"

    def _lines(self, long: bool) -> str:
        if not long:
            return "".join(f"{one.serial}\t{one.state}\n" for one in self._listing.values())
        return "".join(
            f"{one.serial:22} {one.state} {one.port + ' ' if one.port else ''}"
            f"product:p model:M device:d transport_id:{number}\n"
            for number, one in self._listing.items()
        )

    def _find(self, question: str) -> list[Listed]:
        name = question.removesuffix(":features")
        for prefix in ("host-serial:", "host:tport:serial:", "host:transport:"):
            if name.startswith(prefix):
                wanted = name.removeprefix(prefix)
                return [one for one in self._listing.values() if wanted in (one.serial, one.port)]
        number = name.rpartition(":")[2]
        return [one for key, one in self._listing.items() if str(key) == number]

    def _service(self, connected: socket.socket, listed: Listed) -> None:
        service = _read(connected)
        assert listed.device is not None
        transport = tcp_transport("127.0.0.1", listed.device.port)
        transport.connect(PATIENCE_S)
        try:
            stream = transport.open(service, PATIENCE_S)
            connected.sendall(b"OKAY")
            while part := stream.recv(PATIENCE_S):
                connected.sendall(part)
            stream.close()
        finally:
            transport.close()


def _block(text: str) -> bytes:
    content = text.encode()
    return b"%04x" % len(content) + content


def _read(connected: socket.socket) -> str:
    length = int(_take(connected, 4), 16)
    return _take(connected, length).decode()


def _take(connected: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connected.recv(count - len(data))
        if not part:
            raise ValueError("closed")
        data += part
    return data
