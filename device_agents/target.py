"""From what a user writes behind `--device` to a device file with its options.

NAME             a device that comes with the kit
FILE.toml        any other
NAME@SERIAL      one of several attached devices of that kind; also A,B
SERIAL           an attached Android device
"""

from device_agents.device import Device, load_device
from search.errors import UsageError


def find_device(
    text: str,
    *,
    serial: str | None = None,
    adb_server: str | None = None,
    connect: str | None = None,
) -> Device:
    """The device that is meant, with the ways to it as its options.

    Raises:
        UsageError: No such device, or options that it does not have.
    """
    name, at, behind = text.partition("@")
    if at and serial:
        raise UsageError("Give the serial once: behind @, or by --serial.")
    asked = {"serial": behind or serial, "adb_server": adb_server, "connect": connect}
    given = {name: value for name, value in asked.items() if value}
    try:
        device = load_device(name if at else text)
    except UsageError:
        if at or text.endswith(".toml") or not _is_attached(text, adb_server):
            raise
        device, given = load_device("android"), {**given, "serial": text}
    if given and device.platform != "android":
        raise UsageError(
            f"The device {device.name} is not reached by adb: it has no "
            f"{', '.join(sorted(given))}.",
            "Leave the option out, or name an Android device.",
        )
    return device.model_copy(update={"options": {**device.options, **given}})


def _is_attached(serial: str, adb_server: str | None) -> bool:
    from device_agents.adb.address import Reach
    from device_agents.adb.discovery import is_attached

    return is_attached(Reach.of({"adb_server": adb_server} if adb_server else {}), serial)
