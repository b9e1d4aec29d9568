"""Cooling down before a run: waits until the device is not throttled."""

import time
from collections.abc import Callable

from device_agents.adb.device import AdbDevice
from device_agents.android.parsers import THERMAL_STATES, Thermal, parse_thermal
from search.errors import DeviceError

POLL_S = 5.0
PATIENCE_S = 900.0
# From this status on Android itself slows the device down.
_THROTTLED = THERMAL_STATES.index("moderate")


def wait_until_cool(
    device: AdbDevice,
    limit_c: float | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Thermal:
    """What the device tells once it is not throttled and its CPU not above the limit.

    A device that reports neither counts as cool.

    Raises:
        DeviceError: It did not cool down within `PATIENCE_S`.
    """
    waited = 0.0
    while (reason := _too_hot(thermal := _read(device), limit_c)) is not None:
        if waited == 0.0:
            say(f"Waiting for the device to cool: {reason}.")
        if waited >= PATIENCE_S:
            raise DeviceError(
                f"The device did not cool down in {PATIENCE_S / 60:.0f} minutes: {reason}.",
                "Take it out of its case and into the shade, then run again with --resume.",
            )
        sleep(POLL_S)
        waited += POLL_S
    return thermal


def _read(device: AdbDevice) -> Thermal:
    answer = device.run(["dumpsys", "thermalservice"])
    return parse_thermal(answer.text) if answer.code == 0 else Thermal()


def _too_hot(thermal: Thermal, limit_c: float | None) -> str | None:
    if thermal.status is not None and thermal.status >= _THROTTLED:
        return f"thermal status {thermal.name or thermal.status}"
    if limit_c is not None and thermal.cpu_c is not None and thermal.cpu_c > limit_c:
        return f"its CPU has {thermal.cpu_c:.0f} °C, at most {limit_c:.0f} °C are asked for"
    return None
