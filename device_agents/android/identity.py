"""Android device identity, read once over adb without root."""

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass

from device_agents.adb.device import AdbDevice
from device_agents.adb.shell import printable
from device_agents.android.parsers import (
    Core,
    clusters_of,
    parse_cpus,
    parse_meminfo,
    parse_number,
)
from device_agents.processor import (
    kind_name,
    parse_core_kinds,
    parse_cpu_model,
    parse_identity,
    real_cores,
)
from search.table.manifest import CoreKind, CpuCluster, CpuIdentity, DeviceInfo

LOOPBACK_MAKER = "fbnet-kit"
_PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.soc.manufacturer",
    "ro.soc.model",
    "ro.board.platform",
    "ro.hardware",
    "ro.product.cpu.abilist",
    "ro.build.fingerprint",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.build.version.security_patch",
    "ro.build.type",
    "ro.kernel.qemu",
    "ro.boot.qemu",
    "ro.serialno",
)
_CPU = "/sys/devices/system/cpu"
_MOST_CORES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of a device: what goes into a table, and what chooses its runner."""

    info: DeviceInfo
    abis: tuple[str, ...]
    machine: str | None
    sdk: int | None
    rehearsal: bool
    serial_hash: str
    online: tuple[int, ...]

    @property
    def lock_key(self) -> str:
        """Name of the device's lock on this computer."""
        return f"android-{self.serial_hash}"


def identify(device: AdbDevice) -> Identity:
    """Read a device's identity.

    Raises:
        ConnectionLost, DeviceTimeout: The connection failed, twice.
    """
    answers = device.run_all(
        [
            *(["getprop", name] for name in _PROPERTIES),
            ["uname", "-m"],
            ["cat", "/proc/meminfo"],
            ["cat", "/proc/cpuinfo"],
            ["cat", f"{_CPU}/online"],
        ]
    )
    *values, machine, memory, processor, online = answers
    props = {
        name: printable(value.text, 200) or None
        for name, value in zip(_PROPERTIES, values, strict=True)
    }
    serial = props["ro.serialno"] or device.serial
    if is_placeholder(serial):
        serial += _android_id(device)
    serial_hash = hashlib.sha256(f"fbnet-kit device {serial}".encode()).hexdigest()[:16]
    cpus = parse_cpus(online.text) or ()
    midr = _midr(device, cpus[:_MOST_CORES])
    kinds = parse_core_kinds(processor.text, midr)
    info = _info(props, serial_hash, read_device_clusters(device, cpus[:_MOST_CORES], kinds))
    facts = {
        "ram_mb": parse_meminfo(memory.text),
        "cpu": printable(parse_cpu_model(processor.text) or "", 80) or None,
        "processor": _processor(processor.text, midr, len(cpus), info.kind == "rehearsal"),
    }
    if info.kind == "rehearsal" and machine.text not in ("", platform.machine()):
        facts["processor"] = None  # emulated: it says nothing of the one that computes here
    return Identity(
        info=info.model_copy(update=facts),
        abis=tuple((props["ro.product.cpu.abilist"] or "").split(",")),
        machine=printable(machine.text, 40) or None,
        sdk=parse_number(props["ro.build.version.sdk"] or ""),
        rehearsal=info.kind == "rehearsal",
        serial_hash=serial_hash,
        online=cpus,
    )


def read_offline(device: AdbDevice) -> tuple[int, ...] | None:
    """Cores that the device has and that are switched off now; None where it does not tell."""
    answers = device.run_all([["cat", f"{_CPU}/{name}"] for name in ("online", "present")])
    online, present = (parse_cpus(answer.text) for answer in answers)
    if online is None or present is None:
        return None
    return tuple(sorted(set(present) - set(online)))


def is_placeholder(serial: str) -> bool:
    """Whether a serial number is one that a maker left in every device."""
    return (
        re.fullmatch(r"(0?123456789(abcdef)?|(.)\3{3,}|unknown)", serial, re.IGNORECASE) is not None
    )


def _midr(device: AdbDevice, cpus: tuple[int, ...]) -> dict[int, int]:
    """MIDR_EL1 by core, where the kernel shows it: /proc/cpuinfo may describe one core alone."""
    paths = [f"{_CPU}/cpu{cpu}/regs/identification/midr_el1" for cpu in cpus]
    answers = device.run_all([["cat", path] for path in paths])
    return {
        cpu: int(answer.text, 16)
        for cpu, answer in zip(cpus, answers, strict=True)
        if answer.code == 0 and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", answer.text)
    }


def _android_id(device: AdbDevice) -> str:
    """What tells such devices apart; it changes with a factory reset."""
    answer = device.run(["settings", "get", "secure", "android_id"])
    known = re.fullmatch(r"[0-9a-f]{1,40}", answer.text) if answer.code == 0 else None
    return f" {answer.text}" if known else ""


def _processor(
    text: str, midr: Mapping[int, int], cores: int, rehearsal: bool
) -> CpuIdentity | None:
    """What identifies the processor; a rehearsal makes up how many cores it has."""
    if not rehearsal:
        found = parse_identity(text, midr=midr, cores=cores or None)
    else:
        found = parse_identity(real_cores(text), cores=cores or None)
        kinds = tuple(kind.model_copy(update={"cores": None}) for kind in found.kinds)
        found = found.model_copy(update={"cores": None, "kinds": kinds, "caches": ()})
    return None if found == CpuIdentity() else found


def _info(
    props: dict[str, str | None], serial_hash: str, clusters: tuple[CpuCluster, ...]
) -> DeviceInfo:
    maker, model = props["ro.product.manufacturer"], props["ro.product.model"]
    rehearsal = (maker or "").lower().startswith(LOOPBACK_MAKER)
    soc = [props["ro.soc.manufacturer"], props["ro.soc.model"]]
    board = props["ro.board.platform"] or props["ro.hardware"]
    release, patch = props["ro.build.version.release"], props["ro.build.version.security_patch"]
    name = slug(f"{maker or ''} {model or ''}") or "android"
    label = model or "Android device"
    return DeviceInfo(
        id=f"{'rehearsal-' if rehearsal else ''}{name}-{serial_hash[:6]}",
        kind="rehearsal" if rehearsal else "android",
        manufacturer=maker,
        model=f"{label} (rehearsal, not a phone)" if rehearsal else label,
        soc=" ".join(part for part in soc if part) or board,
        os=" ".join(part for part in ("Android", release, patch and f"({patch})") if part),
        os_build=props["ro.build.fingerprint"],
        abi=(props["ro.product.cpu.abilist"] or "").split(",")[0] or None,
        clusters=clusters,
        serial_hash=serial_hash,
        virtual=True
        if rehearsal or "1" in (props["ro.kernel.qemu"], props["ro.boot.qemu"])
        else None,
    )


def slug(text: str) -> str:
    """Text in lower case with hyphens, for a folder's name."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:40].strip("-")


def read_device_clusters(
    device: AdbDevice, cpus: tuple[int, ...], kinds: Mapping[int, CoreKind]
) -> tuple[CpuCluster, ...]:
    """Groups of equal cores (of these), slowest first; `kinds` are those of Arm cores."""
    names = ("cpufreq/related_cpus", "cpu_capacity", "cpufreq/cpuinfo_max_freq")
    paths = [f"{_CPU}/cpu{cpu}/{name}" for cpu in cpus for name in names]
    answers = device.run_all([["cat", path] for path in paths])
    texts = [answer.text if answer.code == 0 else "" for answer in answers]
    cores = {
        cpu: Core(
            kind=kind_name(kinds[cpu]) if cpu in kinds else None,
            related=parse_cpus(texts[3 * number]),
            capacity=parse_number(texts[3 * number + 1]),
            max_khz=parse_number(texts[3 * number + 2]),
        )
        for number, cpu in enumerate(cpus)
    }
    return clusters_of(cores)
