"""Direct transport to a device on USB, for when no adb server runs.

adb-shell lists the devices; libusb transfers the bytes. Transfers follow adb's
own client: a header and its payload are a transfer each, a write that fills
its last packet is ended by an empty one (the daemon would wait for more), and
a read asks for whole packets (a longer one than was asked for is an error).
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from adb_shell import exceptions
from adb_shell.transport.base_transport import BaseTransport

from device_agents.adb.direct import DirectTransport
from device_agents.adb.shell import printable
from device_agents.adb.states import BUSY, NO_PERMISSIONS, USABLE, Unusable
from search.errors import ConnectionLost, DeviceError, KitError

PORT_PREFIX = "usb:"  # as adb names a device by its port
_DEFAULT_S = 10.0
_FROM_DEVICE = 0x80  # the bit of an endpoint's address that tells its direction
_DRAIN_S = 0.05
_DRAIN_BYTES = 1 << 14
_MOST_DRAINS = 256
_INSTALL = (
    "install libusb (Debian: apt install libusb-1.0-0; macOS: brew install libusb) and its "
    "Python module (pip install libusb1), or start an adb server: adb start-server"
)


class _Code(IntEnum):
    """Error codes of libusb."""

    ACCESS = -3
    NO_DEVICE = -4
    BUSY = -6
    TIMEOUT = -7
    NOT_SUPPORTED = -12


class NoUsb(Exception):
    """USB devices cannot be listed; the text names the cause and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """One device on USB that offers adb.

    `name` is its serial, or `usb:BUS-PORTS` where it has none of its own.
    """

    name: str
    port: str
    state: str
    device: Any  # usb1.USBDevice
    setting: Any  # usb1.USBInterfaceSetting


def attached() -> list[Attached]:
    """Devices on USB that offer adb; none is claimed.

    Raises:
        NoUsb: libusb or its module is missing, or does not work.
    """
    library = _library()
    try:
        listed = list(library.UsbTransport.find_all_adb_devices())
    except (library.usb1.USBError, OSError) as error:
        raise NoUsb(f"libusb cannot list devices ({error}): {_INSTALL}") from error
    described = (_describe(device, library.usb1.USBError) for device in listed)
    devices = [device for device in described if device is not None]
    count = Counter(device.name for device in devices)
    return [
        # Cheap phones share one serial: only their ports tell them apart.
        device if count[device.name] == 1 else replace(device, name=device.port)
        for device in devices
    ]


def usb_transport(name: str) -> DirectTransport:
    """Transport to the device of that name (see `Attached`)."""
    return DirectTransport(name, "USB, without a server", UsbMedium(name))


class UsbMedium(BaseTransport):  # type: ignore[misc]  # adb-shell has no types
    """Bulk transfers with one device, looked up again at each connection."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: Any = None
        self._buffer = b""
        self._interface = 0
        self._read_from = self._write_to = 0
        self._packet_bytes = 1

    def connect(self, transport_timeout_s: float | None) -> None:
        """Open the device and claim its interface, so that no other program can use it.

        Raises:
            Unusable: This user may not open it, or another program has it.
            ConnectionLost: It is not attached.
        """
        del transport_timeout_s  # opening does not wait
        self.close()
        attached_device = self._find()
        with self._translated_errors():
            self._handle = attached_device.device.open()
            self._interface = attached_device.setting.getNumber()
            try:
                self._handle.claimInterface(self._interface)
            except BaseException:
                self._handle.close()
                self._handle = None
                raise
        for endpoint in attached_device.setting.iterEndpoints():
            if endpoint.getAddress() & _FROM_DEVICE:
                self._read_from = endpoint.getAddress()
                self._packet_bytes = endpoint.getMaxPacketSize()
            else:
                self._write_to = endpoint.getAddress()
        self._drain()

    def close(self) -> None:
        """Release the device; works twice, and when it was unplugged."""
        handle, self._handle, self._buffer = self._handle, None, b""
        if handle is not None:
            with contextlib.suppress(Exception):  # a broken connection is closed anyway
                handle.releaseInterface(self._interface)
            with contextlib.suppress(Exception):
                handle.close()

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Return at most `numbytes`; none where a packet was empty."""
        if not self._buffer:
            packets = -(-numbytes // self._packet_bytes)
            self._buffer = self._read(packets * self._packet_bytes, transport_timeout_s)
        data, self._buffer = self._buffer[:numbytes], self._buffer[numbytes:]
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send all of it as one transfer."""
        self._write(bytes(data), transport_timeout_s)
        if data and len(data) % self._packet_bytes == 0:
            self._write(b"", transport_timeout_s)
        return len(data)

    def _read(self, size: int, timeout_s: float | None) -> bytes:
        handle = self._connected()
        with self._translated_errors():
            return bytes(handle.bulkRead(self._read_from, size, timeout=_ms(timeout_s)))

    def _write(self, data: bytes, timeout_s: float | None) -> None:
        handle = self._connected()
        with self._translated_errors():
            sent = handle.bulkWrite(self._write_to, data, timeout=_ms(timeout_s))
        if sent != len(data):  # the rest would be taken for another transfer
            raise ConnectionLost(f"The device {self._name} took {sent} of {len(data)} bytes.")

    def _connected(self) -> Any:
        if self._handle is None:
            raise ConnectionLost(f"The USB connection to {self._name} is closed.")
        return self._handle

    def _drain(self) -> None:
        """Discard data meant for a program that had the device before."""
        with contextlib.suppress(exceptions.TcpTimeoutException):
            for _ in range(_MOST_DRAINS):
                self._read(_DRAIN_BYTES, _DRAIN_S)

    def _find(self) -> Attached:
        try:
            devices = attached()
        except NoUsb as error:
            raise DeviceError(f"USB cannot be used: {error}.") from error
        for device in devices:
            if self._name in (device.name, device.port):
                return device
        raise _unplugged(self._name)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        library = _library()
        try:
            yield
        except library.usb1.USBError as error:
            if error.value == _Code.TIMEOUT:
                raise exceptions.TcpTimeoutException(str(error)) from error
            raise kit_error(self._name, error) from error


def kit_error(name: str, error: Any) -> KitError:
    """The kit's error, with its remedy, for one of libusb (whose code is its `value`)."""
    description = f"{printable(name)} ({error})"
    if error.value == _Code.ACCESS:
        return Unusable(f"This user may not open the USB device {description}.", NO_PERMISSIONS)
    if error.value == _Code.BUSY:
        return Unusable(f"Another program holds the USB interface of {description}.", BUSY)
    if error.value == _Code.NO_DEVICE:
        return _unplugged(name)
    if error.value == _Code.NOT_SUPPORTED:
        return DeviceError(
            f"libusb cannot drive the USB device {description}.",
            "On Windows it needs the WinUSB driver; or use an adb server: adb start-server.",
        )
    return ConnectionLost(
        f"The USB connection to {description} broke.",
        "Plug it in again; try another cable or port.",
    )


def _unplugged(name: str) -> ConnectionLost:
    return ConnectionLost(
        f"The device {printable(name)} is not on USB.",
        "Plug it in again, and look whether USB debugging is on.",
    )


def _describe(listed: Any, usb_error: type[Exception]) -> Attached | None:
    bus, *ports = listed.port_path
    port = f"{PORT_PREFIX}{bus}-{'.'.join(map(str, ports))}"
    serial, state = None, USABLE
    try:
        serial = listed.serial_number
    except usb_error as error:
        code = getattr(error, "value", None)
        if code == _Code.NO_DEVICE:
            return None  # unplugged meanwhile
        state = NO_PERMISSIONS if code == _Code.ACCESS else "offline"
    return Attached(
        name=serial or port, port=port, state=state, device=listed._device, setting=listed._setting
    )


def _library() -> Any:
    """adb-shell's USB module, which loads libusb."""
    try:
        from adb_shell.transport import usb_transport
    except ImportError as error:
        raise NoUsb(f"the Python module of libusb is missing ({error}): {_INSTALL}") from error
    except Exception as error:  # the module opens libusb as it is loaded
        raise NoUsb(f"libusb cannot be used ({error}): {_INSTALL}") from error
    return usb_transport


def _ms(timeout_s: float | None) -> int:
    """Milliseconds, at least one: 0 means for ever to libusb."""
    return max(1, int(1000 * (_DEFAULT_S if timeout_s is None else timeout_s)))
