"""Which phone is meant, and by which program it is reached."""

import shutil
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from device_agents.device import Device
from device_agents.iphone.command import ProgramMissing
from device_agents.iphone.devicectl import Devicectl
from device_agents.iphone.pymobiledevice import Pymobiledevice
from device_agents.iphone.transport import BUNDLE, IphoneInfo, Transport
from search.errors import DeviceError, UsageError

_TRANSPORTS: dict[str, Callable[[str, float], Transport]] = {
    "devicectl": Devicectl,
    "pymobiledevice3": Pymobiledevice,
}

_WITHOUT_PHONE = (
    "Without a phone: python -m profiler --device NAME --prepare FOLDER builds everything "
    "for a Mac, "
    "python -m deploy NET --format mlpackage -o FOLDER exports a network."
)


def open_transport(device: Device, timeout_s: float) -> Transport:
    """The transport that a device file names, or the one that fits this machine.

    devicectl reaches phones from iOS 17 on only; a device file of an older
    one names pymobiledevice3.

    Raises:
        UsageError: Unknown.
    """
    wanted = device.options.get("transport", "auto")
    if wanted == "auto":
        apple = sys.platform == "darwin" and shutil.which("xcrun") is not None
        wanted = "devicectl" if apple else "pymobiledevice3"
    if wanted not in _TRANSPORTS:
        raise UsageError(
            f"Unknown transport {wanted!r}.", f"Known: {', '.join(_TRANSPORTS)}, auto."
        )
    bundle = str(device.options.get("bundle", BUNDLE))
    return _TRANSPORTS[wanted](bundle, max(timeout_s, 60.0))


def choose_phone(device: Device, transport: Transport) -> IphoneInfo:
    """The one attached phone that the device file describes.

    Raises:
        DeviceError: None, several, or one that is not ready.
    """
    try:
        seen = transport.phones()
    except ProgramMissing as error:
        message = f"{error.message} Nothing was seen; looked for {_wanted(device)}."
        raise ProgramMissing(message, f"{error.remedy} {_WITHOUT_PHONE}") from error
    udid = device.options.get("udid")
    fits = [phone for phone in seen if _fits(phone, device, udid)]
    if len(fits) > 1:
        raise DeviceError(
            f"{len(fits)} attached phones are {device.title}.",
            "Name one in a device file: udid = " + " or ".join(f'"{p.udid}"' for p in fits) + ".",
        )
    if not fits:
        raise _nothing(device, seen, transport)
    (phone,) = fits
    _ready(phone)
    return phone


def _fits(phone: IphoneInfo, device: Device, udid: object) -> bool:
    if udid is not None:
        return phone.udid == udid
    patterns = device.match.get("model", "iPhone*").split("|")
    # An untrusted phone does not say what it is; it may be the one.
    return phone.model is None or any(fnmatchcase(phone.model, p) for p in patterns)


def _wanted(device: Device) -> str:
    """What is looked for: the title, and how a phone is recognised."""
    udid = device.options.get("udid")
    models = device.match.get("model", "iPhone*").replace("|", " or ")
    return f"{device.title} ({f'udid {udid}' if udid is not None else f'model {models}'})"


def _nothing(device: Device, seen: Sequence[IphoneInfo], transport: Transport) -> DeviceError:
    if not seen:
        return DeviceError(
            f"No iPhone is attached: {transport.name} sees none; looked for {_wanted(device)}.",
            f"Attach it by cable, unlock it, answer Trust, and try again. {_WITHOUT_PHONE}",
        )
    others = ", ".join(f"{phone.model or '?'} ({phone.udid})" for phone in seen)
    return DeviceError(
        f"No attached phone is {_wanted(device)}; {transport.name} sees {others}.",
        "Use --device iphone for any iPhone, or a device file that matches it.",
    )


def _ready(phone: IphoneInfo) -> None:
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
