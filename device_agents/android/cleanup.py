"""Opens the kit's folder on selected devices, for `devices clean`."""

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
    """Name and file store of each selected device, locked for this process.

    Raises:
        UsageError: Not an Android device, or another process uses it.
        DeviceError: No selected device is attached.
    """
    if device.platform != "android":
        raise UsageError(
            f"The device {device.name} holds no files of the kit.", "Name an Android device."
        )
    address = discovery.prefer_direct(AdbAddress.of(device.options))
    with contextlib.ExitStack() as stack:
        stores = []
        for detected in discovery.select_devices(device, address):
            adb_device = AdbDevice(discovery.transport_for(address, detected.serial))
            stack.callback(adb_device.close)
            adb_device.connect()
            identity = identify(adb_device)
            stack.enter_context(device_lock(identity.lock_key, str(identity.info.model)))
            stores.append(
                (f"{printable(detected.serial)} ({detected.model or '?'})", FileStore(adb_device))
            )
        yield stores
