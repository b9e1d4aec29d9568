"""devicectl's list of devices, read as far as each entry goes.

Its form has changed with Xcode: facts lie in `hardwareProperties`,
`deviceProperties` and `connectionProperties`, in one `properties`, or in the
entry itself. An entry that is not understood never hides another one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from device_agents.iphone.transport import IphoneInfo

_GROUPS = ("hardwareProperties", "deviceProperties", "connectionProperties", "properties")
# Words of the user's own, which say nothing about the kind of device.
_OWN_WORDS = frozenset({"name", "localHostnames", "potentialHostnames", "identifier", "tags"})
_NOT_REAL = ("simulat", "virtual")


def read_phones(devices: Sequence[object]) -> tuple[IphoneInfo, ...]:
    """The iPhones among the entries; those that cannot be reached say why."""
    entries = [entry for entry in devices if isinstance(entry, dict)]
    phones = [_phone(entry) for entry in entries if not _is_simulated(entry)]
    return tuple(phone for phone in phones if phone is not None)


def _phone(entry: dict[str, Any]) -> IphoneInfo | None:
    facts = _facts(entry)
    model, kind = _text(facts, "productType"), _text(facts, "deviceType")
    udid = _text(facts, "udid") or _text(facts, "identifier")
    if udid is None or not (kind or model or "").startswith("iPhone"):
        return None
    mode, pairing = _text(facts, "developerModeStatus"), _text(facts, "pairingState")
    services = facts.get("ddiServicesAvailable")
    return IphoneInfo(
        udid=udid,
        model=model if model and model.startswith("iPhone") else None,
        os=_text(facts, "osVersionNumber"),
        os_build=_text(facts, "osBuildUpdate"),
        developer_mode=None if mode is None else mode == "enabled",
        paired=None if pairing is None else pairing == "paired",
        developer_services=services if isinstance(services, bool) else None,
        attached=True if _text(facts, "transportType") else None,
        unavailable=_why_unavailable(facts),
    )


def _why_unavailable(facts: dict[str, Any]) -> str | None:
    if _text(facts, "transportType"):
        return None
    for name in ("unavailableReason", "availabilityError", "error"):
        reason = facts.get(name)
        if isinstance(reason, dict):
            reason = reason.get("localizedDescription") or reason.get("message")
        if isinstance(reason, str) and reason:
            return reason
    if _text(facts, "tunnelState") == "unavailable":
        return "it is neither at the cable nor on this network"
    return None


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    """All facts of an entry in one dictionary; those of the groups count before its own."""
    facts: dict[str, Any] = {}
    for place in _places(entry):
        for name, value in place.items():
            facts.setdefault(name, value)
    return facts


def _places(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in _GROUPS:
        group = entry.get(name)
        if isinstance(group, dict):
            yield group
            yield from _places(group)
    yield entry


def _text(facts: dict[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return value if isinstance(value, str) and value else None


def _is_simulated(value: object, name: str = "") -> bool:
    """Whether an entry says anywhere that it is no real device, however it spells that."""
    if name in _OWN_WORDS:
        return False
    if isinstance(value, dict):
        return any(_is_simulated(part, key) for key, part in value.items())
    if isinstance(value, list):
        return any(_is_simulated(part) for part in value)
    if isinstance(value, bool):
        return value and any(word in name.lower() for word in _NOT_REAL)
    return isinstance(value, str) and any(word in value.lower() for word in _NOT_REAL)
