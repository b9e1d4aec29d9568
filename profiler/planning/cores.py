"""Threads and cores that are asked for, against those that there are: before any work."""

import os

from search.errors import UsageError
from search.table.manifest import DeviceInfo


def check_host_cores(threads: int, affinity: tuple[int, ...] | None) -> None:
    """Refuse what this machine has not, where it says what it has.

    Raises:
        UsageError: More threads than cores, or a core that this process may not use.
    """
    if hasattr(os, "sched_getaffinity"):
        _check(tuple(sorted(os.sched_getaffinity(0))), "This machine", threads, affinity)


def check_device_cores(device: DeviceInfo, threads: int, affinity: tuple[int, ...] | None) -> None:
    """The same of a device, as far as its cores are known.

    A rehearsal's cores are made up: what its processes run on is seen when they run.

    Raises:
        UsageError: As `check_host_cores`.
    """
    cores = tuple(sorted(cpu for cluster in device.clusters for cpu in cluster.cpus))
    if cores and device.kind not in ("rehearsal", "simulated"):
        _check(cores, device.model or device.id, threads, affinity)


def _check(
    cores: tuple[int, ...], name: str, threads: int, affinity: tuple[int, ...] | None
) -> None:
    known = ", ".join(map(str, cores))
    if absent := [cpu for cpu in affinity or () if cpu not in cores]:
        raise UsageError(
            f"--affinity names core {absent[0]}, which cannot be used.",
            f"{name} has the cores {known}.",
        )
    if threads > len(cores):
        raise UsageError(
            f"--threads {threads} is more than there are cores.",
            f"{name} has {len(cores)}: {known}.",
        )
