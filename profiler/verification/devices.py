"""The device that a deployment names."""

from deploy.verification.device_side import DeviceOptions
from device_agents.device import Device
from device_agents.registry import find_device


def device_of(options: DeviceOptions) -> Device:
    """The device of this name, at the address that is given.

    Raises:
        UsageError: No such device, or an address that it does not have.
    """
    return find_device(
        options.name,
        serial=options.serial,
        adb_server=options.adb_server,
        connect=options.connect,
    )
