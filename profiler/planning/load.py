"""Where a table of the sustained state can be measured."""

from deploy.verification.sustained import sustained_seconds
from device_agents.device import Device
from search.errors import UsageError


def sustain_seconds(text: str | None, device: Device) -> float | None:
    """Seconds of `--sustain` for a table of this device; None without it.

    Raises:
        UsageError: No such duration, or a device that cannot be kept under load.
    """
    if text is None:
        return None
    seconds = sustained_seconds(text)
    if device.platform == "ios":
        raise UsageError(
            "No table of an iPhone's sustained state can be measured: the app on it waits while "
            "the phone is hot, and what it timed then does not count.",
            "Leave --sustain out.",
        )
    if "," in str(device.options.get("serial", "")):
        raise UsageError(
            "--sustain is of one phone: several share the work, and rest in between.",
            "Name one phone with --serial, or leave --sustain out.",
        )
    return seconds
