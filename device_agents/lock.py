"""One command at a time on one device."""

import contextlib
from collections.abc import Iterator

import filelock

from search.cache import cache_root
from search.errors import UsageError


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
