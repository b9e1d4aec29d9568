"""Which Android devices there are, how they are, and which one is meant."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

from device_agents.adb.address import AdbAddress, parse_address
from device_agents.adb.device import AdbDevice
from device_agents.adb.server import (
    NoServer,
    ServerTransport,
    is_network,
    server_devices,
)
from device_agents.adb.shell import printable
from device_agents.adb.states import ADVICE, OFFLINE, UNAUTHORIZED, USABLE, Unusable
from device_agents.adb.transport import Transport
from device_agents.device import Device
from search.errors import DeviceError, KitError, UsageError

_PROPERTIES = {
    "model": "ro.product.model",
    "manufacturer": "ro.product.manufacturer",
    "device": "ro.product.device",
    "brand": "ro.product.brand",
    "soc": "ro.soc.model",
}
# A server elsewhere has its own USB devices, which are not those of this computer.
_THIS_COMPUTER = ("127.0.0.1", "localhost", "::1")
_NO_SERVER = "start it with: adb start-server; or reach a device directly with --connect HOST:PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedDevice:
    """A device that answers, or does not, and why."""

    serial: str
    state: str
    way: str
    model: str | None = None
    properties: Mapping[str, str]

    @property
    def advice(self) -> str:
        """What to do to make it usable; empty when it is."""
        if self.state == USABLE:
            return ""
        if self.state == OFFLINE and is_network(self.serial):
            serial = printable(self.serial)
            return f"see that it is awake and on the network: adb connect {serial}"
        return ADVICE.get(self.state, "adb does not offer it for use")


def transport_for(reach: AdbAddress, serial: str) -> Transport:
    """The way to one device: straight where `connect` says so, else the server.

    Where the server of this computer does not run, its USB is used directly.
    """
    if reach.connect is not None:
        from device_agents.adb.direct import tcp_transport

        return tcp_transport(*reach.connect)
    if reach.server[0] in _THIS_COMPUTER:
        try:
            server_devices(reach.server)
        except NoServer:
            from device_agents.adb.usb import usb_transport

            return usb_transport(serial)
    return ServerTransport(serial, reach.server)


def prefer_direct(reach: AdbAddress) -> AdbAddress:
    """Go straight to a serial that is an address which the adb server does not know."""
    if reach.connect is not None or len(reach.serials) != 1 or ":" not in reach.serials[0]:
        return reach
    (serial,) = reach.serials
    if serial.startswith("usb:"):  # a port of this computer, not an address
        return reach
    with contextlib.suppress(NoServer):
        if any(one.serial == serial for one in server_devices(reach.server)):
            return reach
    return replace(reach, connect=parse_address(serial, "--serial"), serials=())


def list_devices(
    reach: AdbAddress, call_back: bool = False
) -> tuple[list[DetectedDevice], list[str]]:
    """All devices in reach, and notes on where nothing could be seen.

    With `call_back` the server connects again to what is on the network and
    offline: it leaves a device there for good that went away once.
    """
    if reach.connect is not None:
        return [_ask(transport_for(reach, ""), USABLE)], []
    try:
        listed = server_devices(reach.server)
    except NoServer:
        return _look_at_usb(reach)
    seen = []
    for one in listed:
        lost = call_back and one.state == OFFLINE and is_network(one.serial)
        wanted = not reach.serials or one.serial in reach.serials
        state = USABLE if lost and wanted else one.state  # asking connects
        seen.append(_ask(ServerTransport(one.serial, reach.server), state))
    return seen, []


def _look_at_usb(reach: AdbAddress) -> tuple[list[DetectedDevice], list[str]]:
    """What can be had without the server; what else to do where that is nothing."""
    silent = f"no adb server answers at {reach.server[0]}:{reach.server[1]}"
    if reach.server[0] not in _THIS_COMPUTER:
        return [], [f"{silent}: {_NO_SERVER}"]
    from device_agents.adb.usb import NoUsb, attached, usb_transport

    try:
        found = attached()
    except NoUsb as error:
        return [], [f"{silent}: {_NO_SERVER}", f"USB cannot be used without it: {error}"]
    if not found:
        return [], [f"{silent}, and no device on USB offers adb: {_NO_SERVER}"]
    seen = [_ask(usb_transport(one.name), one.state) for one in found]
    return seen, [f"{silent}: devices on USB are used directly"]


def is_attached(reach: AdbAddress, serial: str) -> bool:
    """Whether the server, or USB where none runs, has a device of that name."""
    try:
        return any(one.serial == serial for one in server_devices(reach.server))
    except NoServer:
        if reach.server[0] not in _THIS_COMPUTER:
            return False
    from device_agents.adb.usb import NoUsb, attached

    with contextlib.suppress(NoUsb):
        return any(one.name == serial for one in attached())
    return False


def _ask(transport: Transport, state: str) -> DetectedDevice:
    """Identity of a device, where it gives one."""
    unknown = partial(DetectedDevice, serial=transport.serial, way=transport.way, properties={})
    if state != USABLE:
        return unknown(state=state)
    phone = AdbDevice(transport, patience_s=0)
    try:
        phone.connect()
        answers = phone.run_all([["getprop", name] for name in _PROPERTIES.values()])
    except Unusable as error:
        return unknown(state=error.state)
    except KitError as error:
        return unknown(state=UNAUTHORIZED if UNAUTHORIZED in error.message else OFFLINE)
    finally:
        phone.close()
    found = {
        name: printable(answer.text)
        for name, answer in zip(_PROPERTIES, answers, strict=True)
        if answer.text
    }
    return DetectedDevice(
        serial=transport.serial,
        state=USABLE,
        way=transport.way,
        model=found.get("model"),
        properties=found,
    )


def matches(device: Device, seen: DetectedDevice) -> bool:
    """Whether a device is of the kind that a device file describes."""
    return all(
        fnmatchcase(seen.properties.get(name, ""), pattern)
        for name, pattern in device.match.items()
    )


def select_devices(device: Device, reach: AdbAddress) -> list[DetectedDevice]:
    """The devices that are meant: one, or several of one model named by serial.

    Raises:
        DeviceError: None is usable; says what was looked for, what was seen
            and what to do.
        UsageError: Several match, or those named do not belong together.
    """
    unknown = sorted(set(device.match) - set(_PROPERTIES))
    if unknown:
        raise UsageError(
            f"The device file {device.name} matches by {unknown[0]!r}, which is unknown.",
            f"Known: {', '.join(_PROPERTIES)}.",
        )
    seen, notes = list_devices(reach, call_back=True)
    if reach.serials and reach.connect is None:
        return _named(device, reach.serials, seen, notes)
    usable = [one for one in seen if one.state == USABLE and matches(device, one)]
    if not usable:
        raise _nothing(device, seen, notes)
    if len(usable) > 1:
        same = len({one.model for one in usable}) == 1
        share = f", or share the work: --serial {','.join(o.serial for o in usable)}"
        raise UsageError(
            f"Several devices match {device.name}: {_names(usable)}.",
            f"Choose one: --serial {usable[0].serial}{share if same else ''}.",
        )
    return usable


def _named(
    device: Device, serials: Sequence[str], seen: Sequence[DetectedDevice], notes: Sequence[str]
) -> list[DetectedDevice]:
    by_serial = {one.serial: one for one in seen}
    chosen = [by_serial[serial] for serial in serials if serial in by_serial]
    missing = [serial for serial in serials if serial not in by_serial]
    if missing:
        raise _nothing(device, seen, notes, f"the serial {', '.join(map(printable, missing))}")
    for one in chosen:
        if one.state != USABLE:
            raise DeviceError(f"{_name(one)} is {one.state}.", f"Do this: {one.advice}.")
        if not matches(device, one):
            raise UsageError(
                f"{_name(one)} is not a {device.title}: {_wanted(device)}.",
                "Use --device android for any model, or write a device file for it.",
            )
    if len({one.model for one in chosen}) > 1:
        raise UsageError(
            f"Devices of different models never share a table: {_names(chosen)}.",
            "Name devices of one model.",
        )
    return chosen


def _nothing(
    device: Device, seen: Sequence[DetectedDevice], notes: Sequence[str], what: str | None = None
) -> DeviceError:
    looked = what or f"{device.title} ({_wanted(device)})"
    lines = [f"{_name(one)}: {one.state}" for one in seen]
    steps = [f"{printable(one.serial)}: {one.advice}" for one in seen if one.advice]
    if not seen and not notes:
        steps = ["attach it by USB and switch USB debugging on in its developer options"]
    others = [one for one in seen if one.state == USABLE]
    if others and not steps:
        steps = [f"use the one attached: --device android --serial {others[0].serial}"]
    return DeviceError(
        f"Found no {looked}. Seen: {'; '.join(lines) or 'nothing'}.",
        f"Next: {'; '.join([*steps, *notes])}.",
    )


def _wanted(device: Device) -> str:
    rules = [f"{name} {pattern}" for name, pattern in device.match.items()]
    return ", ".join(rules) or "any model"


def _name(one: DetectedDevice) -> str:
    model = f" ({one.model})" if one.model else ""
    return f"{printable(one.serial)}{model}"


def _names(several: Sequence[DetectedDevice]) -> str:
    return ", ".join(_name(one) for one in several)
