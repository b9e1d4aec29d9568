"""Transport and stream protocols: one connection to an Android device.

A transport opens the services of a device's adb daemon (`shell:`, `sync:`)
as streams of bytes. Commands and file copies are built on those, once for all
transports.
"""

from typing import Protocol


class Stream(Protocol):
    """One service of the device, open until it is closed by either side."""

    def recv(self, timeout_s: float) -> bytes:
        """Return the next bytes, or nothing at the end of the stream.

        Raises:
            DeviceTimeout: None came in time.
            ConnectionLost: The connection broke.
        """
        ...

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send all of the bytes.

        Raises:
            DeviceTimeout: They were not taken in time.
            ConnectionLost: The connection broke, or the device closed the stream.
        """
        ...

    def close(self) -> None:
        """Close the stream; works twice, and on a broken one."""
        ...


class AdbTransport(Protocol):
    """One connection to one device; used by one thread at a time.

    `serial` is the device's name on this connection, `connection` describes
    the connection as text (`adb server 127.0.0.1:5037`).
    """

    serial: str
    connection: str

    def connect(self, timeout_s: float) -> None:
        """Connect, or connect again.

        Raises:
            DeviceError: The device refuses; the remedy says what to do.
            ConnectionLost, DeviceTimeout: It is not there now.
        """
        ...

    @property
    def shell_v2(self) -> bool:
        """Whether the device frames the output of commands (shell protocol 2)."""
        ...

    def open(self, service: str, timeout_s: float) -> Stream:
        """Open a service.

        Raises:
            ConnectionLost, DeviceTimeout: The device is not there now.
            DeviceError: The device has no such service.
        """
        ...

    def close(self) -> None:
        """Disconnect; the device and the user's adb server stay as they are."""
        ...
