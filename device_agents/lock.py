"""One command at a time on one device."""

import contextlib
from collections.abc import Iterator

import filelock

from device_agents.processor import plain_host_id
from search.cache import cache_root
from search.errors import UsageError
from search.table.manifest import DeviceInfo

_THIS_MACHINE = "this-machine"


@contextlib.contextmanager
def measuring_lock(info: DeviceInfo) -> Iterator[None]:
    """Hold the lock of the device that is measured, under every name it goes by.

    Versions of the kit name this machine in different ways, and share a cache.

    Raises:
        UsageError: Another process, of this version or another, holds it.
    """
    names = [info.id]
    if info.kind == "host":
        names += [_THIS_MACHINE, plain_host_id(info.cpu or info.abi or "")]
    with contextlib.ExitStack() as stack:
        for name in dict.fromkeys(names):
            stack.enter_context(device_lock(name, info.id))
        yield


@contextlib.contextmanager
def device_lock(key: str, label: str) -> Iterator[None]:
    """Hold a device's lock; the system frees it even after kill -9.

    Args:
        key: Name of the lock, equal for all who mean this device.
        label: The device in the message of a refusal.

    Raises:
        UsageError: Another process holds it.
    """
    path = cache_root() / "locks" / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path).acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise UsageError(
            f"Another command is using {label} at this moment.",
            "Wait until it has ended: two at once would measure each other.",
        ) from error
