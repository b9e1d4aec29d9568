"""adb-shell's client over a socket that sends at once and sends all of it.

Its own TCP transport leaves Nagle's algorithm on and ignores short counts.
"""

import socket

from adb_shell.adb_device import AdbDevice
from adb_shell.transport.tcp_transport import TcpTransport

from tests.waiting import PATIENCE_S

TIMEOUT_S = PATIENCE_S


class PromptTransport(TcpTransport):  # type: ignore[misc]
    """TcpTransport with TCP_NODELAY and a send that ends only when all is sent."""

    def connect(self, transport_timeout_s: float | None) -> None:
        super().connect(transport_timeout_s)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        view = memoryview(data)
        while view:
            view = view[super().bulk_write(view, transport_timeout_s) :]
        return len(data)


def connected(port: int, keys: list[object] | None = None) -> AdbDevice:
    """A client that is through the handshake."""
    client = AdbDevice(PromptTransport("127.0.0.1", port), default_transport_timeout_s=TIMEOUT_S)
    client.connect(rsa_keys=keys or [], read_timeout_s=TIMEOUT_S, auth_timeout_s=TIMEOUT_S)
    return client
