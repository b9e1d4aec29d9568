"""What the loopback device says of itself. Facts only; `tools` writes them down."""

import os
import platform
import uuid
from dataclasses import dataclass, field, replace

from .faults import NOISE

ANDROID_ABIS = {"aarch64": "arm64-v8a", "armv7l": "armeabi-v7a"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """CPUs of one kind.

    Args:
        cpus: Their numbers.
        max_khz: Highest clock.
        capacity: The scheduler's figure, 1024 for the fastest; None hides the file.
        part: CPU part as in /proc/cpuinfo.
        governor: Frequency governor; None hides the cpufreq folder.
        related: CPUs that share its clock, where they are more than its own.
    """

    cpus: tuple[int, ...]
    max_khz: int = 1_803_000
    capacity: int | None = 1024
    part: str = "0xd05"
    governor: str | None = "schedutil"
    related: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One described phone; by default honestly named, modern and steady.

    Args:
        abi: First ABI; the host's own, since the host's programs run here.
        emulated_cpu: Its programs are arm64 ones, run by qemu as this processor; None: they are
            this machine's.
        machine: What `uname -m` answers where they are emulated.
        sdk: API level; below 30 there is no fixed-performance mode, below 29
            no thermal service.
        thermal_status: 0 none to 6 shutdown.
        temperatures_c: Sensors by name.
        wakefulness: Awake, Asleep, Dozing or Dreaming.
        deep_idle: State of deep doze; ACTIVE is none.
        fixed_performance: Whether the mode can be set.
        battery_present: Whether it has a battery; without one all its figures are 0.
        ac_powered: Whether a wall charger powers it; `usb_powered`, a computer's cable.
        stay_on: `stay_on_while_plugged_in` as its user left it.
        stay_on_refused: `svc power stayon` ends with a SecurityException.
        offline: CPUs that it has and that are switched off.
        missing: Programs that it does not have.
        android_id: `settings get secure android_id`.
        boot_id: What its kernel drew when it started.
        old_terminal: Shell v1 ends lines by CR LF, as before Android 7.
        storage_kb: Size of /data as `df` tells it.
        properties: More properties for `getprop`, or other values.
    """

    manufacturer: str = "fbnet-kit"
    model: str = "Loopback"
    name: str = "loopback"
    device: str = "loopback"
    serial: str = "loopback-0001"
    soc_manufacturer: str | None = "fbnet-kit"
    soc_model: str | None = "loopback-soc"
    abi: str = field(
        default_factory=lambda: ANDROID_ABIS.get(platform.machine(), platform.machine())
    )
    emulated_cpu: str | None = None
    machine: str = "aarch64"
    sdk: int = 34
    release: str = "14"
    clusters: tuple[Cluster, ...] = ()
    thermal_status: int = 0
    temperatures_c: tuple[tuple[str, float], ...] = (("skin", 29.5), ("CPU0", 38.0))
    battery_percent: int = 90
    battery_c: float = 27.0
    battery_present: bool = True
    usb_powered: bool = True
    ac_powered: bool = False
    stay_on: int = 0
    stay_on_refused: bool = False
    offline: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    android_id: str | None = None
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    wakefulness: str = "Awake"
    deep_idle: str = "ACTIVE"
    low_power: bool = False
    fixed_performance: bool = True
    old_terminal: bool = False
    storage_kb: int = 8_000_000
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """All CPU numbers, in order."""
        return tuple(sorted(cpu for cluster in self.clusters for cpu in cluster.cpus))

    def getprop(self) -> dict[str, str]:
        """Every property by name."""
        build = f"{self.release}/LOOPBACK/1"
        known = {
            "ro.product.manufacturer": self.manufacturer,
            "ro.product.brand": self.manufacturer,
            "ro.product.model": self.model,
            "ro.product.name": self.name,
            "ro.product.device": self.device,
            "ro.product.board": self.device,
            "ro.board.platform": self.device,
            "ro.hardware": self.device,
            "ro.product.cpu.abi": self.abi,
            "ro.product.cpu.abilist": self.abi,
            "ro.build.version.sdk": str(self.sdk),
            "ro.build.version.release": self.release,
            "ro.build.version.security_patch": "2024-01-05",
            "ro.build.type": "user",
            "ro.build.fingerprint": f"{self.manufacturer}/{self.name}/{self.device}:{build}:user",
            "ro.serialno": self.serial,
            "sys.boot_completed": "1",
        }
        if self.sdk >= 31 and self.soc_model is not None:
            known["ro.soc.manufacturer"] = self.soc_manufacturer or ""
            known["ro.soc.model"] = self.soc_model
        return known | dict(self.properties)

    def banner(self) -> bytes:
        """What follows CNXN, up to the features."""
        words = ("name", self.name), ("model", self.model), ("device", self.device)
        text = "".join(f"ro.product.{word}={value};" for word, value in words)
        return b"device::" + text.encode("utf-8", "surrogateescape")


def this_host() -> Phone:
    """A phone with the CPUs of this machine, so that pinning is real: the last one is 'big'."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    big = Cluster(cpus=cpus[-1:], max_khz=2_850_000, capacity=1024, part="0xd44")
    if len(cpus) == 1:
        return Phone(clusters=(big,))
    return Phone(clusters=(Cluster(cpus=cpus[:-1], capacity=400), big))


def pixel_like() -> Phone:
    """Eight CPUs in three clusters, as on many phones; this machine may have fewer."""
    clusters = (
        Cluster(cpus=(0, 1, 2, 3), max_khz=1_803_000, capacity=124, part="0xd05"),
        Cluster(cpus=(4, 5), max_khz=2_348_000, capacity=427, part="0xd41"),
        Cluster(cpus=(6, 7), max_khz=2_850_000, capacity=1024, part="0xd44"),
    )
    return Phone(clusters=clusters, model="Loopback 8", device="loopback8", name="loopback8")


def hostile(phone: Phone) -> Phone:
    """The same phone with quotes, newlines, escape codes and shell code in all its strings."""
    nasty = NOISE.decode("utf-8", "surrogateescape")
    extra = (("ro.soc.model", nasty), ("ro.build.fingerprint", nasty + "y" * 1_000_000))
    return replace(
        phone,
        manufacturer=phone.manufacturer + nasty,
        model=phone.model + nasty,
        serial=phone.serial + nasty,
        wakefulness=nasty,
        temperatures_c=((nasty, 31.0),),
        properties=(*phone.properties, *extra),
    )
