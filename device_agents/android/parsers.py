"""Parsers of a device's own tools: pure functions of text; unknown is None, never a guess.

Formats: AOSP's `dumpsys` of thermalservice, battery, power and deviceidle; the
kernel's sysfs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from device_agents.cpu import describe_cores, no_equal_cores, parse_cpu_list
from search.table.manifest import CpuCluster

# android.os.PowerManager.THERMAL_STATUS_*
THERMAL_STATES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
# android.os.BatteryManager.BATTERY_PLUGGED_*, as `stay_on_while_plugged_in` adds them up
POWER_SOURCES = {"ac": 1, "usb": 2, "wireless": 4, "dock": 8}
# android.hardware.thermal TemperatureType
_CPU, _SKIN = 0, 3
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?\d+(?:\.\d+)?), mType=(-?\d+), mName=([^,}\n]{1,60}), mStatus=(\d+)\}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """Android's thermal status and temperatures, in degrees Celsius."""

    status: int | None = None
    cpu_c: float | None = None
    skin_c: float | None = None

    @property
    def name(self) -> str | None:
        """The status by its Android name."""
        known = self.status is not None and 0 <= self.status < len(THERMAL_STATES)
        return THERMAL_STATES[self.status] if known and self.status is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """Charge and temperature (degrees Celsius) of the battery, and what powers the device.

    `sources` are the words of `POWER_SOURCES` that power it now; empty where only its battery
    does, None where that is not known.
    """

    percent: int | None = None
    temperature_c: float | None = None
    sources: tuple[str, ...] | None = None

    @property
    def powered(self) -> bool | None:
        """Whether anything but its battery powers it."""
        return None if self.sources is None else bool(self.sources)


def parse_thermal(text: str) -> Thermal:
    """`dumpsys thermalservice`: the values that come from the hardware, if there are any.

    Without a hardware service the status stays 0, and a sensor that is not there reads 0.0:
    both are unknown.
    """
    status = re.search(r"^\s*Thermal Status:\s*(\d{1,2})\s*$", text, re.MULTILINE)
    current = text.partition("Current temperatures from HAL")[2]
    current = current.partition("Current cooling devices")[0] or text
    readings: dict[int, list[float]] = {}
    for value, kind, _, _ in _TEMPERATURE.findall(current):
        if -50 < float(value) < 200 and float(value) != 0:
            readings.setdefault(int(kind), []).append(float(value))
    ready = re.search(r"^\s*HAL Ready:\s*false\s*$", text, re.MULTILINE) is None
    return Thermal(
        status=int(status[1]) if status and (ready or int(status[1])) else None,
        cpu_c=max(readings.get(_CPU, []), default=None),
        skin_c=max(readings.get(_SKIN, []), default=None),
    )


def parse_battery(text: str) -> Battery:
    """`dumpsys battery`; its temperature is in tenths of a degree.

    A device without a battery reports zeros, and that nothing powers it: all of it is unknown.
    """
    fields = _fields(text)
    has_battery = fields.get("present") != "false" and _integer(fields.get("voltage")) != 0
    level, scale = _integer(fields.get("level")), _integer(fields.get("scale")) or 100
    temperature = _integer(fields.get("temperature"))
    known = level is not None and 0 <= level <= scale
    words = {name.lower(): word for name, word in fields.items()}
    powered = {name: words.get(f"{name} powered") for name in POWER_SOURCES}
    sources = tuple(name for name, word in powered.items() if word == "true")
    plausible = temperature is not None and -500 < temperature < 2000
    if not has_battery:
        return Battery(sources=sources or None)
    return Battery(
        percent=round(100 * level / scale) if known and level is not None else None,
        temperature_c=temperature / 10 if plausible and temperature is not None else None,
        sources=sources if sources or "false" in powered.values() else None,
    )


def parse_stay_on(text: str, sources: tuple[str, ...] | None) -> bool | None:
    """`settings get global stay_on_while_plugged_in`: whether it holds for these power sources.

    The setting names sources, so with another one, or none, the screen still goes off.
    """
    bits = _integer(text.strip())
    if bits == 0:
        return False
    if bits is None or sources is None:
        return None
    return any(bits & POWER_SOURCES[name] for name in sources)


def parse_awake(text: str) -> bool | None:
    """`dumpsys power`: whether the screen is on."""
    match = re.search(r"\bmWakefulness=(\w{1,20})", text)
    return None if match is None else match[1] == "Awake"


def parse_doze(text: str) -> bool | None:
    """`dumpsys deviceidle get deep`: whether the device dozes."""
    states = ("ACTIVE", "INACTIVE", "IDLE_PENDING", "SENSING", "LOCATING")
    word = text.strip()
    if word in ("IDLE", "IDLE_MAINTENANCE", "OVERRIDE"):
        return True
    return False if word in states else None


def parse_flag(text: str) -> bool | None:
    """`settings get`: 1 and 0; "null" is a setting that was never set."""
    return {"1": True, "0": False, "null": False}.get(text.strip())


def parse_meminfo(text: str) -> int | None:
    """MiB of memory from /proc/meminfo."""
    match = re.search(r"^MemTotal:\s*(\d{1,12}) kB", text, re.MULTILINE)
    return int(match[1]) // 1024 if match else None


def parse_free_kb(text: str) -> int | None:
    """`df -k PATH`: free KiB, from the last line with the usual columns."""
    for line in reversed(text.splitlines()):
        columns = line.split()
        numbers = [index for index, column in enumerate(columns) if column.isdigit()]
        if len(numbers) >= 3:
            return int(columns[numbers[2]])
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One core as sysfs and /proc/cpuinfo describe it; `kind` is "ARM Cortex-A76"."""

    kind: str | None = None
    related: tuple[int, ...] | None = None
    capacity: int | None = None
    max_khz: int | None = None


def clusters_of(cores: Mapping[int, Core]) -> tuple[CpuCluster, ...]:
    """Groups of equal cores, slowest first.

    Cores of one kind that share a clock (`related_cpus`) are equal; where that is
    not said, equal capacity and highest frequency stand in for it.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for cpu, core in cores.items():
        shared: tuple[object, ...] = ("related", *core.related) if core.related else ("alike",)
        groups.setdefault((*shared, core.kind, core.capacity, core.max_khz), []).append(cpu)
    clusters = [
        CpuCluster(
            cpus=tuple(sorted(cpus)),
            capacity=cores[cpus[0]].capacity,
            max_khz=cores[cpus[0]].max_khz,
            name=cores[cpus[0]].kind,
        )
        for cpus in groups.values()
    ]
    return tuple(sorted(clusters, key=_rank))


def why_unpinned(clusters: tuple[CpuCluster, ...], threads: int) -> str:
    """What to tell where `pick_cluster` finds no cores: which there are, and what to do."""
    if any(map(_is_known, clusters)):
        return no_equal_cores([one for one in clusters if _is_known(one)], threads)
    return (
        f"The device does not tell which of its cores are fast ({describe_cores(clusters)}): the "
        "measurement is not pinned and may run on slow ones. Name cores: --affinity 4-7."
    )


def _is_known(cluster: CpuCluster) -> bool:
    return cluster.capacity is not None or cluster.max_khz is not None


def _rank(cluster: CpuCluster) -> tuple[int, int, int]:
    return (cluster.capacity or 0, cluster.max_khz or 0, -cluster.cpus[0])


def pick_cluster(clusters: tuple[CpuCluster, ...], threads: int) -> tuple[int, ...] | None:
    """The cores to measure on: all of the fastest cluster that has enough of them.

    Fastest is largest capacity, then highest clock. One cluster only, because
    threads on unequal cores wait for the slowest; all of its cores, because
    they are equal and the scheduler knows which one is free. None where
    neither is known of any cluster.
    """
    known = [cluster for cluster in clusters if _is_known(cluster)]
    for cluster in sorted(known, key=_rank, reverse=True):
        if len(cluster.cpus) >= threads:
            return cluster.cpus
    return None


def parse_cpus(text: str) -> tuple[int, ...] | None:
    """A list of cores, as the kernel prints it (`0-3,6` or `0 1 2 3`)."""
    # Checked first: a range of a thousand million cores is quickly written.
    if not re.fullmatch(r"\d{1,3}(?:[-,\s]+\d{1,3}){0,64}\s*", text):
        return None
    try:
        return parse_cpu_list(",".join(text.split()))
    except ValueError:
        return None


def parse_number(text: str) -> int | None:
    """A positive whole number; None for anything else."""
    value = _integer(text.strip())
    return value if value is not None and value > 0 else None


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,15}", text) else None
