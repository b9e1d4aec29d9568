"""A farm as people and programs see it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from device_agents.farm.model import CampaignStatus, HostStatus, PhoneStatus, Waiting

Overview = dict[str, list[dict[str, Any]]]


class SeesFarm(Protocol):
    """What of a registry is asked."""

    def hosts(self) -> list[HostStatus]: ...
    def phones(self) -> list[PhoneStatus]: ...
    def waiting(self) -> list[Waiting]: ...
    def campaigns(self) -> list[CampaignStatus]: ...


def overview(registry: SeesFarm) -> Overview:
    """Hosts, phones, who waits, and campaigns."""
    return {
        "hosts": [asdict(one) for one in registry.hosts()],
        "phones": [asdict(one) for one in registry.phones()],
        "waiting": [asdict(one) for one in registry.waiting()],
        "campaigns": [asdict(one) for one in registry.campaigns()],
    }


def print_overview(seen: Overview, echo: Callable[[str], object]) -> None:
    """The same as lines."""
    blocks = (
        ("hosts", [_host(one) for one in seen["hosts"]]),
        ("phones", [_phone(one) for one in seen["phones"]]),
        (
            "waiting",
            [(one["owner"], one["model"], f"{one['for_s']:.0f} s") for one in seen["waiting"]],
        ),
        ("campaigns", [_campaign(one) for one in seen["campaigns"]]),
    )
    for title, rows in blocks:
        echo(title)
        for line in _columns(rows) if rows else ("none",):
            echo(f"  {line}")


def _host(one: dict[str, Any]) -> tuple[str, ...]:
    state = "gives no phones (drained)" if one["is_drained"] else ""
    return (one["host"], f"heard of {one['seen_s_ago']:.0f} s ago", state)


def _phone(one: dict[str, Any]) -> tuple[str, ...]:
    heat, charge = one["temperature_c"], one["battery_percent"]
    held = ""
    if one["owner"]:
        held = f"{one['owner']} for {one['expires_in_s']:.0f} s more"
    return (
        one["phone"],
        one["model"],
        f"{one['health']}{': ' + one['reason'] if one['reason'] else ''}",
        "? C" if heat is None else f"{heat:g} C",
        "? %" if charge is None else f"{charge:g} %",
        held or "free",
        "; ".join(one["ways"]),
    )


def _campaign(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["campaign"],
        one["owner"],
        one["stage"],
        f"{one['done']} parts done, {one['running']} running, {one['queued']} queued",
        ", ".join(f"{phone} {done}" for phone, done in one["phones"]),
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
