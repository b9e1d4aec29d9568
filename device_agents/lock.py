"""One command at a time on one device."""

import contextlib
from collections.abc import Iterator

import filelock

from device_agents.android.identity import Identity
from search.cache import cache_root
from search.errors import UsageError


@contextlib.contextmanager
def hold(identity: Identity) -> Iterator[None]:
    """Hold the device's lock; the system frees it even after kill -9.

    Raises:
        UsageError: Another process holds it.
    """
    path = cache_root() / "locks" / f"android-{identity.serial_hash}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path).acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise UsageError(
            f"Another command is using {identity.info.model} at this moment.",
            "Wait until it has ended.",
        ) from error


@contextlib.contextmanager
def only_one(device: str) -> Iterator[None]:
    """Hold the device's lock: two campaigns at once would measure each other.

    Raises:
        UsageError: Another process holds it.
    """
    path = cache_root() / "locks" / f"{device}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        with lock.acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise UsageError(
            f"Another campaign is measuring on {device} at this moment.",
            "Wait until it has ended: two at once would measure each other.",
        ) from error
