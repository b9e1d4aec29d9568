"""Discovery of attached Android devices, and selection of those to use."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

from device_agents.adb.address import AdbAddress, parse_address
from device_agents.adb.detected import DetectedDevice, one_connection_each
from device_agents.adb.device import AdbDevice
from device_agents.adb.server import (
    NoServer,
    ServerTransport,
    can_call_back,
    is_place,
    server_devices,
    server_name,
)
from device_agents.adb.shell import printable
from device_agents.adb.states import BROKEN, OFFLINE, USABLE, Unusable
from device_agents.adb.transport import AdbTransport
from device_agents.base import say_on_stderr
from device_agents.device import Device
from search.errors import DeviceError, KitError, Transient, UsageError

_PROPERTIES = {
    "model": "ro.product.model",
    "manufacturer": "ro.product.manufacturer",
    "device": "ro.product.device",
    "brand": "ro.product.brand",
    "soc": "ro.soc.model",
}
# What tells one phone from another: its number, and a word that the kernel draws at each start.
_SERIAL = ["getprop", "ro.serialno"]
_BOOT = ["cat", "/proc/sys/kernel/random/boot_id"]
# A server elsewhere has its own USB devices, which are not those of this computer.
_THIS_COMPUTER = ("127.0.0.1", "localhost", "::1")
_NO_SERVER = "start it with: adb start-server; or reach a device directly with --connect HOST:PORT"


def transport_for(address: AdbAddress, serial: str) -> AdbTransport:
    """Transport to one device: direct where `connect` is set, else through the server.

    Where this computer's server does not run, its USB devices are used directly.
    """
    if address.connect is not None:
        from device_agents.adb.direct import tcp_transport

        return tcp_transport(*address.connect)
    if _is_here(address):
        try:
            server_devices(address.server)
        except NoServer:
            from device_agents.adb.usb import usb_transport

            return usb_transport(serial)
    return ServerTransport(serial, address.server)


def prefer_direct(address: AdbAddress) -> AdbAddress:
    """Connect directly to a serial that is a network address unknown to the adb server."""
    if address.connect is not None or len(address.serials) != 1 or ":" not in address.serials[0]:
        return address
    (serial,) = address.serials
    if is_place(serial):  # a port of this computer, not an address
        return address
    with contextlib.suppress(NoServer):
        if any(listed.serial == serial for listed in server_devices(address.server)):
            return address
    return replace(address, connect=parse_address(serial, "--serial"), serials=())


def list_devices(
    address: AdbAddress, call_back: bool = False
) -> tuple[list[DetectedDevice], list[str]]:
    """All devices at this address, and notes on what could not be listed.

    With `call_back` the server reconnects to network devices that are offline:
    by itself it never takes back a device that disconnected once.
    """
    if address.connect is not None:
        return [_query(transport_for(address, ""), USABLE)], []
    try:
        listing = server_devices(address.server)
    except NoServer:
        return _list_usb(address)
    devices = []
    for listed in listing:
        lost = call_back and listed.state == OFFLINE and can_call_back(listed.serial)
        selected = not address.serials or listed.serial in address.serials
        state = USABLE if lost and selected else listed.state  # querying connects
        devices.append(_query(ServerTransport(listed.serial, address.server), state))
    return devices, []


def _list_usb(address: AdbAddress) -> tuple[list[DetectedDevice], list[str]]:
    """Devices on USB without a server, and notes on what to do where there are none."""
    silent = f"no adb server answers at {server_name(address.server)}"
    if not _is_here(address):
        return [], [f"{silent}: {_NO_SERVER}"]
    from device_agents.adb.usb import NoUsb, attached, usb_transport

    try:
        listing = attached()
    except NoUsb as error:
        return [], [f"{silent}: {_NO_SERVER}", f"USB cannot be used without it: {error}"]
    if not listing:
        return [], [f"{silent}, and no device on USB offers adb: {_NO_SERVER}"]
    devices = [_query(usb_transport(listed.name), listed.state) for listed in listing]
    return devices, [f"{silent}: devices on USB are used directly"]


def _is_here(address: AdbAddress) -> bool:
    """Whether the server's USB devices are those of this computer."""
    host, port = address.server
    return not port or host in _THIS_COMPUTER


def is_attached(address: AdbAddress, serial: str) -> bool:
    """Whether the server, or USB where no server runs, has a device of that name."""
    try:
        return any(listed.serial == serial for listed in server_devices(address.server))
    except NoServer:
        if not _is_here(address):
            return False
    from device_agents.adb.usb import NoUsb, attached

    with contextlib.suppress(NoUsb):
        return any(listed.name == serial for listed in attached())
    return False


def _query(transport: AdbTransport, state: str) -> DetectedDevice:
    """State and properties of a device; it is connected to only where it is usable."""
    detected = partial(DetectedDevice, serial=transport.serial, connection=transport.connection)
    if state != USABLE:
        return detected(state=state, properties={})
    device = AdbDevice(transport, patience_s=0)
    try:
        device.connect()
        *answers, serial, boot = device.run_all(
            [*(["getprop", name] for name in _PROPERTIES.values()), _SERIAL, _BOOT]
        )
    except Unusable as error:
        return detected(state=error.state, properties={})
    except Transient as error:
        return detected(state=OFFLINE, properties={}, reason=_sentence(error.message))
    except KitError as error:
        # Not the connection: what the error says is to be done, not what helps a lost device.
        return detected(
            state=BROKEN,
            properties={},
            reason=_sentence(error.message),
            remedy=_sentence(error.remedy or ""),
        )
    finally:
        device.close()
    properties = {
        name: printable(answer.text)
        for name, answer in zip(_PROPERTIES, answers, strict=True)
        if answer.text
    }
    return detected(
        state=USABLE,
        model=properties.get("model"),
        properties=properties,
        own_serial=printable(serial.text) or None,
        boot_id=printable(boot.text, 60) or None if boot.code == 0 else None,
    )


def _sentence(text: str) -> str:
    """An error's text as part of a sentence."""
    return printable(text).removesuffix(".")


def matches(device: Device, detected: DetectedDevice) -> bool:
    """Whether a detected device fits the patterns of a device file."""
    return all(
        fnmatchcase(detected.properties.get(name, ""), pattern)
        for name, pattern in device.match.items()
    )


def select_devices(
    device: Device, address: AdbAddress, say: Callable[[str], None] = say_on_stderr
) -> list[DetectedDevice]:
    """The devices to use: one, or several of one model named by serial.

    A phone with several connections (a cable and Wi-Fi) is one device; `say` is told which
    connection is used.

    Raises:
        DeviceError: There is no usable one; names what was looked for, what
            was detected and what to do.
        UsageError: Several match, or those named are of different models, or are one phone.
    """
    unknown = sorted(set(device.match) - set(_PROPERTIES))
    if unknown:
        raise UsageError(
            f"The device file {device.name} matches by {unknown[0]!r}, which is unknown.",
            f"Known: {', '.join(_PROPERTIES)}.",
        )
    detected, notes = list_devices(address, call_back=True)
    if address.serials and address.connect is None:
        return _select_named(device, address.serials, detected, notes)
    usable = [
        candidate
        for candidate in one_connection_each(detected)
        if candidate.state == USABLE and matches(device, candidate)
    ]
    if not usable:
        raise _not_found(device, detected, notes)
    if len(usable) > 1:
        raise _several(device, usable)
    if usable[0].others:
        say(
            f"One phone has {len(usable[0].others) + 1} connections: {_name(usable[0])} is used, "
            f"{', '.join(map(printable, usable[0].others))} is not."
        )
    return usable


def _several(device: Device, usable: Sequence[DetectedDevice]) -> UsageError:
    same = len({candidate.model for candidate in usable}) == 1
    names = [printable(candidate.serial) for candidate in usable]
    share = f", or share the work: --serial {','.join(names)}"
    return UsageError(
        f"Several devices match {device.name}: {_names(usable)}.",
        f"Choose one: --serial {names[0]}{share if same else ''}.",
    )


def _select_named(
    device: Device, serials: Sequence[str], detected: Sequence[DetectedDevice], notes: Sequence[str]
) -> list[DetectedDevice]:
    chosen = [_named(serial, detected) for serial in serials]
    missing = [serial for serial, found in zip(serials, chosen, strict=True) if found is None]
    if missing:
        raise _not_found(
            device, detected, notes, f"phone with the serial {', '.join(map(printable, missing))}"
        )
    devices = [found for found in chosen if found is not None]
    for candidate in devices:
        if candidate.state != USABLE:
            advice = f"Do this: {candidate.advice}." if candidate.advice else ""
            raise DeviceError(f"{_name(candidate)} is {candidate.trouble}.", advice)
        if not matches(device, candidate):
            raise UsageError(
                f"{_name(candidate)} is not a {device.title}: {_patterns(device)}.",
                "Use --device android for any model, or write a device file for it.",
            )
    if len({candidate.model for candidate in devices}) > 1:
        raise UsageError(
            f"Devices of different models never share a table: {_names(devices)}.",
            "Name devices of one model.",
        )
    if len(one_connection_each(devices)) < len(devices):
        raise UsageError(
            f"These are connections to one phone: {_names(devices)}.", "Name one of them."
        )
    return devices


def _named(serial: str, detected: Sequence[DetectedDevice]) -> DetectedDevice | None:
    """The device of this name, or else the one phone that states this serial number.

    Raises:
        UsageError: Several phones have that number.
    """
    for candidate in detected:
        if candidate.serial == serial:
            return candidate
    phones = one_connection_each([one for one in detected if one.own_serial == serial])
    if len(phones) > 1:
        raise UsageError(
            f"The serial {printable(serial)} is not unique: {_names(phones)} have it.",
            f"Name the one that is meant: --serial {printable(phones[0].serial)}.",
        )
    return phones[0] if phones else None


def _not_found(
    device: Device,
    detected: Sequence[DetectedDevice],
    notes: Sequence[str],
    missing: str | None = None,
) -> DeviceError:
    missing = missing or f"{device.title} ({_patterns(device)})"
    lines = [f"{_name(candidate)}: {candidate.trouble}" for candidate in detected]
    steps = [
        f"{printable(candidate.serial)}: {candidate.advice}"
        for candidate in detected
        if candidate.advice
    ]
    if not detected and not notes:
        steps = ["attach it by USB and switch USB debugging on in its developer options"]
    others = [candidate for candidate in detected if candidate.state == USABLE]
    if others and not steps:
        steps = [f"use the one attached: --device android --serial {others[0].serial}"]
    return DeviceError(
        f"Found no {missing}. Seen: {'; '.join(lines) or 'nothing'}.",
        f"Next: {'; '.join([*steps, *notes])}.",
    )


def _patterns(device: Device) -> str:
    rules = [f"{name} {pattern}" for name, pattern in device.match.items()]
    return ", ".join(rules) or "any model"


def _name(device: DetectedDevice) -> str:
    model = f" ({device.model})" if device.model else ""
    return f"{printable(device.serial)}{model}"


def _names(devices: Sequence[DetectedDevice]) -> str:
    return ", ".join(map(_name, devices))
