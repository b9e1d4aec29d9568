"""The C library's allocator: freed memory is kept, where allocation is a bottleneck."""

import ctypes
import sys

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Have the C library reuse freed memory instead of returning it.

    Each activation of a supernet on the CPU is tens of megabytes, which glibc
    maps and unmaps each time; every page is then faulted in by the kernel
    at every step. Afterwards the process keeps its peak memory until it ends.
    Call it once, before the first step; a process-wide setting, so never at
    import.

    Returns:
        False where the C library is not glibc; nothing has changed then.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD_BYTES))
    done = [mallopt(option, value) == 1 for option, value in options]
    return all(done)
