"""CPU facts of a Linux machine; unknown is None, never a guess."""

import os
from pathlib import Path

from search.table.manifest import CpuCluster

_SYS = Path("/sys/devices/system/cpu")


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list format: "0-3,5" is (0, 1, 2, 3, 5).

    Raises:
        ValueError: Not such a list.
    """
    cpus: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        members = range(int(first), int(last if dash else first) + 1)
        if not members:
            raise ValueError(f"{part.strip()!r} names no CPU")
        cpus.extend(members)
    return tuple(sorted(set(cpus)))


def read_clusters(root: Path) -> tuple[CpuCluster, ...]:
    """Groups of equal cores under /sys/devices/system/cpu, slowest first."""
    online = _text(root / "online")
    cpus = parse_cpu_list(online) if online else tuple(range(os.cpu_count() or 1))
    groups: dict[tuple[int | None, int | None], list[int]] = {}
    for cpu in cpus:
        folder = root / f"cpu{cpu}"
        capacity_and_clock = (
            _number(folder / "cpu_capacity"),
            _number(folder / "cpufreq" / "cpuinfo_max_freq"),
        )
        groups.setdefault(capacity_and_clock, []).append(cpu)
    order = sorted(groups.items(), key=lambda group: tuple(value or 0 for value in group[0]))
    return tuple(
        CpuCluster(cpus=tuple(members), capacity=capacity, max_khz=khz)
        for (capacity, khz), members in order
    )


def cpu_model() -> str | None:
    """The processor's name."""
    return parse_cpu_model(_text(Path("/proc/cpuinfo")) or "")


def parse_cpu_model(text: str) -> str | None:
    """The processor's name from /proc/cpuinfo; most phones give none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Hardware") and value.strip():
            return value.strip()
    return None


def memory_mb() -> int | None:
    """Physical memory in MiB."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (ValueError, OSError):
        return None


def governor() -> str | None:
    """The frequency governor of the first core."""
    return _text(_SYS / "cpu0/cpufreq/scaling_governor")


def virtual() -> bool | None:
    """Whether the kernel reports a hypervisor."""
    info = _text(Path("/proc/cpuinfo"))
    return None if info is None else " hypervisor" in info


def temperature_c() -> float | None:
    """The hottest readable CPU-like thermal zone."""
    readings = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        kind = (_text(zone / "type") or "").lower()
        value = _number(zone / "temp")
        if value is not None and any(word in kind for word in ("cpu", "pkg", "soc", "core")):
            readings.append(value / 1000)
    return max(readings, default=None)


def default_affinity(threads: int) -> tuple[int, ...] | None:
    """Cores to pin a measurement to: the last ones of the fastest cluster.

    The first core is left to the system where there is a choice. None where
    pinning is not possible.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    for cluster in reversed(read_clusters(_SYS)):
        cores = [cpu for cpu in cluster.cpus if cpu in allowed]
        if len(cores) >= threads:
            return tuple(cores[-threads:])
    return None
