"""CPU facts of a Linux machine; unknown is None, never a guess."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from device_agents.processor import (
    kind_name,
    parse_cache,
    parse_core_kinds,
    parse_cpu_model,
    parse_identity,
)
from search.errors import UsageError
from search.table.manifest import CoreKind, CpuCache, CpuCluster, CpuIdentity

_SYS = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")
_CORE_LISTS = ("online", "present")


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip().strip("\0") or None
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.lstrip("-").isdigit() else None


def _positive(path: Path) -> int | None:
    """A number above 0; files of what is not there hold 0."""
    value = _number(path)
    return value if value and value > 0 else None


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


def cpu_ranges(cpus: Sequence[int]) -> str:
    """Cores as the kernel lists them: (0, 1, 2, 5) is "0-2,5"."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def describe_cores(clusters: Sequence[CpuCluster]) -> str:
    """Clusters for people: "0-3 ARM Cortex-A55; 4 ARM Cortex-X1"."""
    parts = [" ".join(filter(None, (cpu_ranges(one.cpus), one.name))) for one in clusters]
    return "; ".join(parts) or "it names none"


def no_equal_cores(clusters: Sequence[CpuCluster], threads: int) -> str:
    """What to tell where no cluster has a core for each thread."""
    most = max((len(cluster.cpus) for cluster in clusters), default=1)
    return (
        f"No {threads} cores are equal ({describe_cores(clusters)}): the measurement is not "
        "pinned, and threads on unequal cores wait for the slowest. "
        f"Use --threads {most} or fewer, or name the cores: --affinity 0-{max(threads, 2) - 1}."
    )


def cores_offline(online: Sequence[int], offline: Sequence[int] | None) -> str:
    """What to tell of cores that are switched off; empty where there are none."""
    if not offline:
        return ""
    return (
        f"Cores {cpu_ranges(offline)} are switched off, {cpu_ranges(online)} are there to measure "
        "on: if the fast ones are missing, the table is too slow. On a phone, let it cool, switch "
        "its screen on and its battery saver off."
    )


def allowed_cpus() -> tuple[int, ...] | None:
    """Cores that this process may run on; None where the system does not tell (macOS)."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return tuple(sorted(os.sched_getaffinity(0)))


def check_affinity(cpus: Sequence[int], usable: Sequence[int] | None) -> None:
    """Refuse cores that cannot be used: the kernel would leave them out without a word.

    Raises:
        UsageError: One of `cpus` is none of the usable ones, or cores cannot be chosen here.
    """
    if usable is None:
        raise UsageError("This system does not pin to cores.", "Leave --affinity out.")
    missing = sorted(set(cpus) - set(usable))
    if missing and usable:
        raise UsageError(
            f"--affinity names cores {cpu_ranges(missing)}, which cannot be used: there are "
            f"{cpu_ranges(usable)}.",
            "Name cores that are there, or leave --affinity out.",
        )


def read_clusters(
    root: Path | None = None, kinds: Mapping[int, CoreKind] | None = None
) -> tuple[CpuCluster, ...]:
    """Groups of equal cores, slowest first: equal in capacity, clock and kind.

    Args:
        root: In place of /sys/devices/system/cpu.
        kinds: Kinds of Arm cores by core, in place of what this machine says.
    """
    if root is None:
        root, kinds = _SYS, read_core_kinds() if kinds is None else kinds
    kinds = kinds or {}
    groups: dict[tuple[int | None, int | None, str | None], list[int]] = {}
    for cpu in _online(root):
        folder = root / f"cpu{cpu}"
        equal = (
            _positive(folder / "cpu_capacity"),
            _positive(folder / "cpufreq" / "cpuinfo_max_freq"),
            kind_name(kinds[cpu]) if cpu in kinds else None,
        )
        groups.setdefault(equal, []).append(cpu)
    order = sorted(groups.items(), key=lambda group: tuple(value or 0 for value in group[0][:2]))
    return tuple(
        CpuCluster(cpus=tuple(members), capacity=capacity, max_khz=khz, name=name)
        for (capacity, khz, name), members in order
    )


def _online(root: Path) -> tuple[int, ...]:
    try:
        return parse_cpu_list(_text(root / "online") or "")
    except ValueError:
        return tuple(range(os.cpu_count() or 1))


def offline(root: Path = _SYS) -> tuple[int, ...] | None:
    """Cores that the machine has and that are switched off; None where that is not told."""
    try:
        online, present = (parse_cpu_list(_text(root / name) or "") for name in _CORE_LISTS)
    except ValueError:
        return None
    return tuple(sorted(set(present) - set(online)))


def cpu_model() -> str | None:
    """The processor's name."""
    return parse_cpu_model(_text(_CPUINFO) or "")


def read_identity() -> CpuIdentity:
    """What identifies this machine's processor; what cannot be read is unknown."""
    cores = _online(_SYS)
    return parse_identity(
        _text(_CPUINFO) or "",
        caches=_caches(cores),
        midr=_midr(cores),
        cores=len(cores),
        board=_text(_BOARD),
    )


def read_core_kinds() -> dict[int, CoreKind]:
    """Kinds of Arm cores by core; empty on other processors."""
    return parse_core_kinds(_text(_CPUINFO) or "", _midr(_online(_SYS)))


def _caches(cores: tuple[int, ...]) -> list[CpuCache]:
    """Caches of all cores: those of a fast and a slow core differ."""
    folders = [path for cpu in cores for path in (_SYS / f"cpu{cpu}/cache").glob("index*")]
    found = [
        parse_cache(*(_text(folder / name) or "" for name in ("level", "type", "size")))
        for folder in folders
    ]
    return [cache for cache in found if cache is not None]


def _midr(cores: tuple[int, ...]) -> dict[int, int]:
    """MIDR_EL1 by core, where the kernel shows it."""
    texts = {cpu: _text(_SYS / f"cpu{cpu}/regs/identification/midr_el1") for cpu in cores}
    values = {}
    for cpu, text in texts.items():
        try:
            values[cpu] = int(text or "", 16)
        except ValueError:
            continue
    return values


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
    info = _text(_CPUINFO)
    return None if info is None else " hypervisor" in info


def temperature_c() -> float | None:
    """The hottest readable CPU-like thermal zone."""
    readings = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*"):
        kind = (_text(zone / "type") or "").lower()
        value = _number(zone / "temp")
        # A sensor that is not there reads 0.
        if value and any(word in kind for word in ("cpu", "pkg", "soc", "core")):
            readings.append(value / 1000)
    return max(readings, default=None)


def default_affinity(threads: int) -> tuple[int, ...] | None:
    """Cores to pin a measurement to: the last ones of the fastest cluster.

    The first core is left to the system where there is a choice. None where
    pinning is not possible.
    """
    allowed = allowed_cpus() or ()
    for cluster in reversed(read_clusters()):
        cores = [cpu for cpu in cluster.cpus if cpu in allowed]
        if len(cores) >= threads:
            return tuple(cores[-threads:])
    return None
