"""A USB bus for the loopback device, in the place of libusb's.

What libusb offers of a device stands here with the rules of bulk transfers:
packets of 512 bytes, a read that ends at a short packet, a longer packet than
was asked for as an error, one owner of an interface. The far end reads as
adb's daemon did until 2024: blocks of 16 KiB that only a short packet ends
early, with a header alone in its block. Source: AOSP, packages/modules/adb,
daemon/usb.cpp.
"""

import contextlib
import select
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import usb1

from .messages import HEADER

PACKET_BYTES = 512
BLOCK_BYTES = 16_384
READ_FROM, WRITE_TO, INTERFACE = 0x81, 0x02, 1
ADB = (0xFF, 0x42, 0x01)


class Bus:
    """What is plugged in; stands for `usb1.USBContext`."""

    def __init__(self) -> None:
        self.devices: list[UsbDevice] = []

    def getDeviceIterator(self, skip_on_error: bool = False) -> Iterator["UsbDevice"]:
        yield from list(self.devices)

    def plug(self, daemon_port: int, serial: str | None = "0A1B", **how: Any) -> "UsbDevice":
        """Plug a device in whose daemon listens on a port of this computer."""
        device = UsbDevice(daemon_port, serial, port=len(self.devices) + 1, **how)
        self.devices.append(device)
        return device


class UsbDevice:
    """Stands for `usb1.USBDevice`.

    Args:
        refused: What goes wrong at `look`, `open`, `claim` or `write`.
    """

    def __init__(
        self,
        daemon_port: int,
        serial: str | None,
        *,
        port: int,
        refused: dict[str, Exception] | None = None,
        interface: tuple[int, int, int] = ADB,
    ) -> None:
        self.daemon_port = daemon_port
        self.refused = refused or {}
        self.owner: UsbHandle | None = None
        self.faults: list[str] = []
        self.stale = b""
        self._serial, self._port, self._interface = serial, port, interface

    def pass_or_raise(self, step: str) -> None:
        if step in self.refused:
            raise self.refused[step]

    def iterSettings(self) -> Iterator["UsbSetting"]:
        yield UsbSetting(self._interface)

    def getBusNumber(self) -> int:
        return 1

    def getPortNumberList(self) -> list[int]:
        return [4, self._port]

    def getSerialNumber(self) -> str | None:
        self.pass_or_raise("look")
        return self._serial

    def open(self) -> "UsbHandle":
        self.pass_or_raise("open")
        return UsbHandle(self)


class UsbSetting:
    """Stands for `usb1.USBInterfaceSetting`."""

    def __init__(self, interface: tuple[int, int, int]) -> None:
        self.getClass, self.getSubClass, self.getProtocol = (
            lambda word=word: word for word in interface
        )

    def getNumber(self) -> int:
        return INTERFACE

    def iterEndpoints(self) -> Iterator["UsbEndpoint"]:
        yield UsbEndpoint(READ_FROM)
        yield UsbEndpoint(WRITE_TO)


class UsbEndpoint:
    """Stands for `usb1.USBEndpoint`."""

    def __init__(self, address: int) -> None:
        self._address = address

    def getAddress(self) -> int:
        return self._address

    def getMaxPacketSize(self) -> int:
        return PACKET_BYTES


class UsbHandle:
    """Stands for `usb1.USBDeviceHandle`; carries to the daemon's socket and back."""

    def __init__(self, device: UsbDevice) -> None:
        self._device = device
        self._daemon: socket.socket | None = None
        self._packets: deque[bytes] = deque()
        self._came = bytearray()
        self._far_end = FarEnd()

    def claimInterface(self, number: int) -> None:
        assert number == INTERFACE
        self._device.pass_or_raise("claim")
        if self._device.owner is not None:
            raise usb1.USBErrorBusy
        try:
            self._daemon = socket.create_connection(("127.0.0.1", self._device.daemon_port), 10)
        except ConnectionRefusedError as error:
            raise usb1.USBErrorNoDevice from error
        self._device.owner = self
        self._packets.extend(_packets(self._device.stale))

    def releaseInterface(self, number: int) -> None:
        if self._device.owner is not self:
            raise usb1.USBErrorNotFound
        self._device.owner = None
        self.close()

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def bulkWrite(self, endpoint: int, data: bytes, timeout: int = 0) -> int:
        assert endpoint == WRITE_TO
        self._device.pass_or_raise("write")
        messages, fault = self._far_end.take(data)
        if fault:
            self._device.faults.append(fault)
            self._connected().shutdown(socket.SHUT_RDWR)
            return len(data)
        try:
            self._connected().settimeout(timeout / 1000 or None)
            self._connected().sendall(messages)
        except TimeoutError as error:
            raise usb1.USBErrorTimeout from error
        except OSError as error:
            raise usb1.USBErrorNoDevice from error
        return len(data)

    def bulkRead(self, endpoint: int, length: int, timeout: int = 0) -> bytearray:
        assert endpoint == READ_FROM
        data = bytearray()
        while len(data) < length:
            packet = self._next_packet(timeout / 1000 or None)
            if len(packet) > length - len(data):
                raise usb1.USBErrorOverflow
            data += packet
            if len(packet) < PACKET_BYTES:
                break
        return data

    def _next_packet(self, timeout_s: float | None) -> bytes:
        while not self._packets:
            ready, _, _ = select.select([self._connected()], [], [], timeout_s)
            if not ready:
                raise usb1.USBErrorTimeout
            came = b""
            with contextlib.suppress(OSError):
                came = self._connected().recv(1 << 18)
            if not came:
                raise usb1.USBErrorNoDevice
            self._came += came
            self._split()
        return self._packets.popleft()

    def _split(self) -> None:
        """Header and payload of each message that is whole: a transfer each."""
        while len(self._came) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._came)[3]
            if len(self._came) < end:
                return
            self._packets.append(bytes(self._came[: HEADER.size]))
            self._packets.extend(_packets(bytes(self._came[HEADER.size : end])))
            del self._came[:end]

    def _connected(self) -> socket.socket:
        if self._daemon is None:
            raise usb1.USBErrorNoDevice
        return self._daemon


def _packets(transfer: bytes) -> list[bytes]:
    """None of them empty: a device ends no full packet with an empty one."""
    steps = range(0, len(transfer), PACKET_BYTES)
    return [transfer[start : start + PACKET_BYTES] for start in steps]


class FarEnd:
    """How the daemon puts messages together from packets."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._message = bytearray()

    def take(self, transfer: bytes) -> tuple[bytes, str]:
        """Whole messages that a transfer completes, and what the daemon dislikes."""
        whole = bytearray()
        for packet in _packets(transfer) or [b""]:
            self._block += packet
            if len(packet) == PACKET_BYTES and len(self._block) < BLOCK_BYTES:
                continue
            block, self._block = self._block, bytearray()
            if not block:
                continue
            if not self._message and len(block) != HEADER.size:
                return b"", f"a header of {len(block)} bytes"
            self._message += block
            left = HEADER.size + HEADER.unpack_from(self._message)[3] - len(self._message)
            if left < 0:
                return b"", f"{-left} bytes too many in a payload"
            if left == 0:
                whole += self._message
                self._message = bytearray()
        return bytes(whole), ""
