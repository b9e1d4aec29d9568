"""Which phones a host sees: through its adb server, on USB, or at addresses that it is given."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.adb.device import AdbDevice
from device_agents.adb.server import NoServer, is_network, is_wireless, server_devices
from device_agents.adb.shell import printable
from device_agents.adb.states import USABLE
from device_agents.android.agent import AndroidAgent
from device_agents.android.fence import PhoneFence
from device_agents.android.identity import identify
from device_agents.android.performance_mode import read_state
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.farm.model import Sighting
from search.errors import KitError

_DIRECT = "tcp:"
_NAMES = [["getprop", "ro.product.model"], ["getprop", "ro.serialno"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where a host looks for phones.

    Attributes:
        host: Its name in the farm.
        adb_server: HOST:PORT of its adb server; None: the usual one, or USB without one.
        connect: HOST:PORT of phones' own daemons; with any, no server is asked.
    """

    host: str
    adb_server: str | None = None
    connect: tuple[str, ...] = ()


class Survey:
    """Looks at the phones of a shelf; a phone in use is left in peace, as it was last seen."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._last: dict[str, Sighting] = {}
        self._names: dict[str, tuple[str, str]] = {}

    def __call__(self, busy: Collection[str]) -> list[Sighting]:
        """Every phone that answers now, and those in use."""
        seen = {}
        for address in self._addresses():
            if address in busy and address in self._last:
                seen[address] = self._last[address]
                continue
            with contextlib.suppress(KitError):
                seen[address] = self._look_at(address)
        self._last = seen
        return list(seen.values())

    def _addresses(self) -> Iterator[str]:
        if self._shelf.connect:
            yield from (f"{_DIRECT}{address}" for address in self._shelf.connect)
            return
        address = AdbAddress.of(options_of("", self._shelf))
        try:
            listed = [one.serial for one in server_devices(address.server) if one.state == USABLE]
        except NoServer:
            from device_agents.adb.usb import NoUsb, attached

            listed = []
            with contextlib.suppress(NoUsb):
                listed = [one.name for one in attached() if one.state == USABLE]
        yield from listed

    def _look_at(self, address: str) -> Sighting:
        adb = AdbAddress.of(options_of(address, self._shelf))
        device = AdbDevice(discovery.transport_for(adb, address), patience_s=0)
        try:
            device.connect()
            state = read_state(device)
            facts: dict[str, Any] = {
                "fence": PhoneFence(device).fence(),
                "temperature_c": state.battery_temperature_c,
                "battery_percent": state.battery_percent,
            }
            model, serial = (printable(answer.text) for answer in device.run_all(_NAMES))
            known = self._last.get(address)
            if known is not None and self._names.get(address) == (model, serial):
                return replace(known, **facts)
            self._names[address] = model, serial
            return Sighting(
                host=self._shelf.host,
                address=address,
                connection="tcp" if _is_remote(address) else "usb",
                marks=frozenset({identify(device).serial_hash}),
                model=model or "Android device",
                **facts,
            )
        finally:
            device.close()


def _is_remote(address: str) -> bool:
    return address.startswith(_DIRECT) or is_network(address) or is_wireless(address)


def options_of(address: str, shelf: Shelf) -> dict[str, str]:
    """An Android device's options for an address of this shelf."""
    if address.startswith(_DIRECT):
        return {"connect": address.removeprefix(_DIRECT)}
    server = {"adb_server": shelf.adb_server} if shelf.adb_server else {}
    return {**server, **({"serial": address} if address else {})}


class AndroidPhones:
    """Opens Android phones of a shelf for leases."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __call__(self, address: str, settings: AgentSettings, token: int) -> AndroidAgent:
        """The agent of the phone at this address, claimed for a token once it is entered."""
        options = options_of(address, self._shelf)
        device = load_device("android").model_copy(update={"options": options})
        return AndroidAgent(device, settings, token=token)
