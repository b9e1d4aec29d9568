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
    udid = device.options.get("udid")
    matching = [phone for phone in phones if _matches(phone, device, udid)]
    if len(matching) > 1:
        raise DeviceError(
            f"{len(matching)} attached phones are {device.title}.",
            "Name one in a device file: udid = "
            + " or ".join(f'"{p.udid}"' for p in matching)
            + ".",
        )
    if not matching:
        raise _not_found(device, phones, transport)
    (phone,) = matching
    _check_ready(phone)
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
    device: Device, phones: Sequence[IphoneInfo], transport: IphoneTransport
) -> DeviceError:
    if not phones:
        return DeviceError(
            f"No iPhone is attached: {transport.name} sees none; "
            f"looked for {_description(device)}.",
            f"Attach it by cable, unlock it, answer Trust, and try again. {_WITHOUT_PHONE}",
        )
    others = ", ".join(f"{phone.model or '?'} ({phone.udid})" for phone in phones)
    return DeviceError(
        f"No attached phone is {_description(device)}; {transport.name} sees {others}.",
        "Use --device iphone for any iPhone, or a device file that matches it.",
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
