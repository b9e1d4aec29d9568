"""The kit's folders on the devices that are meant, without measuring anything."""

import contextlib
from collections.abc import Iterator

from device_agents.adb import discovery
from device_agents.adb.address import AdbAddress
from device_agents.adb.device import AdbDevice
from device_agents.adb.shell import printable
from device_agents.android.file_store import FileStore
from device_agents.android.identity import identify
from device_agents.device import Device
from device_agents.lock import device_lock
from search.errors import UsageError


@contextlib.contextmanager
def open_file_stores(device: Device) -> Iterator[list[tuple[str, FileStore]]]:
    """Name and kit's folder of each device, held for this process.

    Raises:
        UsageError: Not an Android device, or another process uses it.
        DeviceError: None is attached.
    """
    if device.platform != "android":
        raise UsageError(
            f"The device {device.name} holds no files of the kit.", "Name an Android device."
        )
    reach = discovery.prefer_direct(AdbAddress.of(device.options))
    with contextlib.ExitStack() as stack:
        found = []
        for seen in discovery.select_devices(device, reach):
            phone = AdbDevice(discovery.transport_for(reach, seen.serial))
            stack.callback(phone.close)
            phone.connect()
            identity = identify(phone)
            stack.enter_context(device_lock(identity.lock_key, str(identity.info.model)))
            found.append((f"{printable(seen.serial)} ({seen.model or '?'})", FileStore(phone)))
        yield found
