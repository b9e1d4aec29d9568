"""Devices as they were detected, and which of them are one phone.

One phone may be listed several times, by its cable and over Wi-Fi; and several phones may
state one serial number, as cheap ones do.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from device_agents.adb.server import is_network, is_wireless
from device_agents.adb.shell import printable
from device_agents.adb.states import ADVICE, OFFLINE, USABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedDevice:
    """A device that is attached, its state, and its properties if it answers.

    `serial` is its name on this connection, `own_serial` the number that it states itself, and
    `boot_id` differs for every phone and every start of it. `reason` is the error that it
    answered with, `remedy` what that error says to do. `others` are further connections to the
    same phone.
    """

    serial: str
    state: str
    connection: str
    model: str | None = None
    properties: Mapping[str, str]
    own_serial: str | None = None
    boot_id: str | None = None
    reason: str = ""
    remedy: str = ""
    others: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """Its state, with the error that it answered with."""
        return f"{self.state} ({self.reason})" if self.reason else self.state

    @property
    def advice(self) -> str:
        """What makes it usable; empty when it is usable."""
        if self.state == USABLE:
            return ""
        if self.remedy:
            return self.remedy
        if self.state == OFFLINE and is_wireless(self.serial):
            return (
                "see that it is awake and on the same Wi-Fi, switch its wireless debugging off "
                "and on, then: adb connect HOST:PORT, as its wireless debugging shows them"
            )
        if self.state == OFFLINE and is_network(self.serial):
            serial = printable(self.serial)
            return f"see that it is awake and on the network: adb connect {serial}"
        return ADVICE.get(self.state, "adb does not offer it for use")

    @property
    def is_on_cable(self) -> bool:
        """Whether the connection is not over the network."""
        return not is_network(self.serial) and not is_wireless(self.serial)


def one_connection_each(detected: Iterable[DetectedDevice]) -> list[DetectedDevice]:
    """One connection to each phone, in order: the cable first, then addresses, then mDNS names.

    `others` of each names those left out. Devices that do not answer stay as they are: nothing
    tells which phone they are.
    """
    groups: defaultdict[object, list[DetectedDevice]] = defaultdict(list)
    for number, device in enumerate(detected):
        groups[_identity(device) or number].append(device)
    phones = []
    for group in groups.values():
        for connections in [group] if _are_one_phone(group) else [[device] for device in group]:
            first, *others = sorted(connections, key=_rank)
            names = tuple(other.serial for other in others)
            phones.append(replace(first, others=names) if names else first)
    return phones


def _identity(device: DetectedDevice) -> tuple[str | None, ...] | None:
    known = device.state == USABLE and (device.own_serial or device.boot_id)
    return (device.own_serial, device.boot_id, device.model) if known else None


def _are_one_phone(group: Sequence[DetectedDevice]) -> bool:
    """Whether devices that answer alike are one phone.

    Its serial number alone does not tell: a phone has no two cables.
    """
    return group[0].boot_id is not None or sum(device.is_on_cable for device in group) < 2


def _rank(device: DetectedDevice) -> tuple[bool, bool]:
    return (not device.is_on_cable, is_wireless(device.serial))
