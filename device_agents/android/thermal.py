"""The gate before each run: a hot device first cools down."""

import time
from collections.abc import Callable

from device_agents.adb.device import AdbDevice
from device_agents.android.parsers import THERMAL_STATES, Thermal, parse_thermal
from search.errors import DeviceError

POLL_S = 5.0
PATIENCE_S = 900.0
# From here on Android itself slows the device down.
_THROTTLED = THERMAL_STATES.index("moderate")


def wait_until_cool(
    phone: AdbDevice,
    limit_c: float | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the device is not throttled and its CPU not above the limit.

    A device that tells neither is taken to be cool.

    Raises:
        DeviceError: It did not cool down within `PATIENCE_S`.
    """
    waited = 0.0
    while (reason := _too_hot(phone, limit_c)) is not None:
        if waited == 0.0:
            say(f"Waiting for the device to cool: {reason}.")
        if waited >= PATIENCE_S:
            raise DeviceError(
                f"The device did not cool down in {PATIENCE_S / 60:.0f} minutes: {reason}.",
                "Take it out of its case and into the shade, then run again with --resume.",
            )
        sleep(POLL_S)
        waited += POLL_S


def _too_hot(phone: AdbDevice, limit_c: float | None) -> str | None:
    answer = phone.run(["dumpsys", "thermalservice"])
    heat = parse_thermal(answer.text) if answer.code == 0 else Thermal()
    if heat.status is not None and heat.status >= _THROTTLED:
        return f"thermal status {heat.name or heat.status}"
    if limit_c is not None and heat.cpu_c is not None and heat.cpu_c > limit_c:
        return f"its CPU has {heat.cpu_c:.0f} °C, at most {limit_c:.0f} °C are asked for"
    return None
