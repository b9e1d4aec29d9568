"""Selection of an attached iPhone and of the program that drives it."""

import shutil
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from device_agents.device import Device
from device_agents.iphone.command import ProgramMissing
from device_agents.iphone.devicectl import Devicectl
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import BUNDLE, IphoneInfo, IphoneTransport
from search.errors import DeviceError, UsageError

_TRANSPORTS: dict[str, Callable[[str, float], IphoneTransport]] = {
    "devicectl": Devicectl,
    "pymobiledevice3": Pymobiledevice,
}

_WITHOUT_PHONE = (
    "Without a phone: python -m profiler --device NAME --prepare FOLDER builds everything "
    "for a Mac, "
    "python -m deploy NET --format mlpackage -o FOLDER exports a network."
)


def open_transport(device: Device, timeout_s: float) -> IphoneTransport:
    """The transport that a device file names, or the default of this machine.

    devicectl works from iOS 17 on only; the device file of an older phone
    names pymobiledevice3.

    Raises:
        UsageError: Unknown transport.
    """
    name = device.options.get("transport", "auto")
    if name == "auto":
        apple = sys.platform == "darwin" and shutil.which("xcrun") is not None
        name = "devicectl" if apple else "pymobiledevice3"
    if name not in _TRANSPORTS:
        raise UsageError(f"Unknown transport {name!r}.", f"Known: {', '.join(_TRANSPORTS)}, auto.")
    bundle = str(device.options.get("bundle", BUNDLE))
    return _TRANSPORTS[name](bundle, max(timeout_s, 60.0))


def select_phone(device: Device, transport: IphoneTransport) -> IphoneInfo:
    """The one attached phone that the device file describes.

    Raises:
        DeviceError: There is none, there are several, or it is not ready.
    """
    try:
        phones = transport.phones()
    except ProgramMissing as error:
        message = f"{error.message} Nothing was seen; looked for {_description(device)}."
        raise ProgramMissing(message, f"{error.remedy} {_WITHOUT_PHONE}") from error
    return choose_phone(device, phones, transport.name)


def choose_phone(device: Device, phones: Sequence[IphoneInfo], program: str) -> IphoneInfo:
    """The one phone of a program's list that the device file describes.

    Raises:
        DeviceError: There is none, there are several, or it is not ready.
    """
    udid = device.options.get("udid")
    matching = [phone for phone in phones if _matches(phone, device, udid)]
    usable = [phone for phone in matching if phone.unavailable is None]
    # One of which nothing is known is no rival of one that is reached.
    usable = [phone for phone in usable if phone.attached] or usable
    if len(usable) > 1:
        raise DeviceError(
            f"{len(usable)} attached phones are {device.title}.",
            "Name one in a device file: udid = " + " or ".join(f'"{p.udid}"' for p in usable) + ".",
        )
    if not usable:
        raise _not_found(device, phones, matching, program)
    (phone,) = usable
    _check_ready(phone)
    _check_system(phone, device)
    return phone


def _matches(phone: IphoneInfo, device: Device, udid: object) -> bool:
    if udid is not None:
        return phone.udid == udid
    patterns = device.match.get("model", "iPhone*").split("|")
    # An untrusted phone does not report its model; it may be the right one.
    return phone.model is None or any(fnmatchcase(phone.model, p) for p in patterns)


def _description(device: Device) -> str:
    """The device's title, and how a phone is recognised as one."""
    udid = device.options.get("udid")
    models = device.match.get("model", "iPhone*").replace("|", " or ")
    return f"{device.title} ({f'udid {udid}' if udid is not None else f'model {models}'})"


def _not_found(
    device: Device,
    phones: Sequence[IphoneInfo],
    matching: Sequence[IphoneInfo],
    program: str,
) -> DeviceError:
    if matching:
        seen = "; ".join(f"{p.model or '?'} ({p.udid}): {p.unavailable}" for p in matching)
        return DeviceError(
            f"{_description(device)} is known to {program}, but cannot be used now: {seen}.",
            f"Attach it by cable and unlock it. {_WITHOUT_PHONE}",
        )
    if not phones:
        return DeviceError(
            f"No iPhone is attached: {program} sees none; looked for {_description(device)}.",
            f"Attach it by cable, unlock it, answer Trust, and try again. {_WITHOUT_PHONE}",
        )
    others = ", ".join(f"{phone.model or '?'} ({phone.udid})" for phone in phones)
    return DeviceError(
        f"No attached phone is {_description(device)}; {program} sees {others}.",
        "Use --device iphone for any iPhone, or a device file that matches it.",
    )


def _check_system(phone: IphoneInfo, device: Device) -> None:
    patterns = device.match.get("os", "*").split("|")
    if phone.os is not None and not any(fnmatchcase(phone.os, pattern) for pattern in patterns):
        raise DeviceError(
            f"The phone {phone.udid} runs iOS {phone.os}; {device.name} asks for "
            f"{' or '.join(patterns)}.",
            "Update the phone, or write a device file for its system.",
        )


def _check_ready(phone: IphoneInfo) -> None:
    if phone.paired is False or phone.model is None:
        raise DeviceError(
            f"The phone {phone.udid} does not trust this computer.",
            "Unlock it, answer Trust, and enter its code.",
        )
    if phone.developer_mode is False:
        raise DeviceError(
            f"Developer mode is off on the phone {phone.udid}.",
            "Settings > Privacy & Security > Developer Mode, then restart the phone.",
        )
