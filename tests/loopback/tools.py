"""Writes a described phone into the root folder, and reads its settings back.

The scripts in `bin/` are the system's tools there; beside them lie links to
those of the host's programs that a phone has too. Their facts and their state
are files in `loopback/`, so a test can look at what was changed.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .emulation import FEATURES, write_emulation
from .files import RootFolder
from .phone import Phone

_COMPLETE = "complete"  # the last file that is written
SCRIPTS = Path(__file__).parent / "bin"
# As on a phone; what is not named here does not exist on the device.
PROGRAMS = (
    "[",
    "awk",
    "basename",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "date",
    "dd",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "kill",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mv",
    "nohup",
    "od",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sha1sum",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "uptime",
    "wc",
    "which",
    "xargs",
    "yes",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What commands changed on the device, read from its files."""

    folder: Path

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8").strip()

    @property
    def fixed_performance(self) -> bool:
        """Whether fixed-performance mode is on."""
        return self._read("fixed_performance") == "true"

    @property
    def stay_on(self) -> int:
        """Bits of `svc power stayon`: 1 mains, 2 USB, 4 wireless; 0 is off."""
        return int(self._read("settings/global/stay_on_while_plugged_in"))

    @contextlib.contextmanager
    def after_a_restart(self, accepts: bool) -> Iterator[None]:
        """The mode is forgotten, and whether it is accepted again; as before afterwards."""
        fails = self.folder / "fixed_performance_fails"
        _write(self.folder / "fixed_performance", "false\n")
        if not accepts:
            _write(fails, "")
        try:
            yield
        finally:
            fails.unlink(missing_ok=True)

    def history(self) -> list[str]:
        """Every change, in order, each as the command that made it."""
        return self._read("history").splitlines()


def write_phone(phone: Phone, files: RootFolder, keep: bool = False) -> Settings:
    """Write tools, facts and a fresh state; what was pushed before stays.

    With `keep` a state that is there stays as it is, facts and all.
    """
    folder = files.within("loopback")
    if keep and (folder / _COMPLETE).exists():
        return Settings(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "settings/global").mkdir(parents=True)
    _write_tools(files.within("system/bin"), phone.missing)
    _write(files.within("proc/sys/kernel/random/boot_id"), f"{phone.boot_id}\n")
    _write_cpus(phone, files)
    _write_heat(phone, files)
    properties = phone.getprop()
    (folder / "props").mkdir()
    for name, value in properties.items():
        _write(folder / "props" / name, value)
    _write(folder / "props.txt", "".join(f"[{k}]: [{v}]\n" for k, v in properties.items()))
    for name, text in _reports(phone).items():
        _write(folder / "dumpsys" / name, text)
    state = {
        "fixed_performance": "false",
        "settings/global/stay_on_while_plugged_in": str(phone.stay_on),
        "settings/global/low_power": str(int(phone.low_power)),
        "history": "",
        "sdk": str(phone.sdk),
        "deep_idle": phone.deep_idle,
        "storage_kb": str(phone.storage_kb),
        "cpus": " ".join(map(str, phone.cpus)),
    }
    for name, text in state.items():
        _write(folder / name, f"{text}\n" if text else "")
    if phone.android_id is not None:
        _write(folder / "settings/secure/android_id", f"{phone.android_id}\n")
    if phone.stay_on_refused:
        _write(folder / "stay_on_refused", "")
    if not phone.fixed_performance:
        _write(folder / "fixed_performance_fails", "")
    if phone.emulated_cpu is not None:
        programs = files.within("system/bin")
        write_emulation(phone.emulated_cpu, phone.machine, folder, programs)
    _write(folder / _COMPLETE, "")
    return Settings(folder)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def _write_tools(folder: Path, missing: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for script in SCRIPTS.iterdir():
        if (folder / script.name).is_symlink():
            (folder / script.name).unlink()
        shutil.copy(script, folder / script.name)
        (folder / script.name).chmod(0o755)
    for name in missing:
        (folder / name).unlink(missing_ok=True)
    for name in set(PROGRAMS) - set(missing):
        found, link = shutil.which(name), folder / name
        if found is not None and not link.exists():
            link.symlink_to(os.path.realpath(found))


def _write_cpus(phone: Phone, files: RootFolder) -> None:
    top = files.within("sys/devices/system/cpu")
    shutil.rmtree(top, ignore_errors=True)
    every = tuple(sorted({*phone.cpus, *phone.offline}))
    for name, cpus in (("online", phone.cpus), ("present", every), ("possible", every)):
        _write(top / name, f"{ranges(cpus)}\n")
    for cluster in phone.clusters:
        for cpu in cluster.cpus:
            folder = top / f"cpu{cpu}"
            folder.mkdir(parents=True)
            if cluster.capacity is not None:
                _write(folder / "cpu_capacity", f"{cluster.capacity}\n")
            if cluster.governor is None:
                continue
            facts = {
                "cpuinfo_max_freq": cluster.max_khz,
                "cpuinfo_min_freq": 300_000,
                "scaling_max_freq": cluster.max_khz,
                "scaling_cur_freq": cluster.max_khz,
                "scaling_governor": cluster.governor,
                "related_cpus": " ".join(map(str, cluster.related or cluster.cpus)),
            }
            for name, value in facts.items():
                _write(folder / "cpufreq" / name, f"{value}\n")
    _write(files.within("proc/cpuinfo"), _cpuinfo(phone))


def _cpuinfo(phone: Phone) -> str:
    """The host's own lines, on which programs choose their kernels, and the phone's after them.

    Where programs are emulated they are the phone's alone.
    """
    if phone.emulated_cpu is not None:
        return _emulated_cpuinfo(phone, FEATURES[phone.emulated_cpu])
    own = Path("/proc/cpuinfo").read_text(encoding="utf-8").strip().split("\n\n")
    parts = {cpu: cluster.part for cluster in phone.clusters for cpu in cluster.cpus}
    stanzas = []
    for cpu in phone.cpus:
        mark = next((text for text in own if _processor(text) == cpu), f"processor\t: {cpu}")
        stanzas.append(f"{mark}\nCPU implementer\t: 0x41\nCPU part\t: {parts[cpu]}\n")
    return "\n".join(stanzas)


def _emulated_cpuinfo(phone: Phone, features: str) -> str:
    stanzas = [
        f"processor\t: {cpu}\nBogoMIPS\t: 49.15\nFeatures\t: {features}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
        f"CPU part\t: {cluster.part}\nCPU revision\t: 0\n"
        for cluster in phone.clusters
        for cpu in cluster.cpus
    ]
    return "\n".join(stanzas)


def _processor(stanza: str) -> int | None:
    name, _, number = stanza.partition("\n")[0].partition(":")
    return int(number) if name.strip() == "processor" else None


def _write_heat(phone: Phone, files: RootFolder) -> None:
    top = files.within("sys/class/thermal")
    shutil.rmtree(top, ignore_errors=True)
    for number, (name, celsius) in enumerate(phone.temperatures_c):
        _write(top / f"thermal_zone{number}/type", f"{name}\n")
        _write(top / f"thermal_zone{number}/temp", f"{round(celsius * 1000)}\n")


def _reports(phone: Phone) -> dict[str, str]:
    """Answers of `dumpsys`, in the words of Android's own."""
    reports = {"battery": _battery(phone), "power": _power(phone)}
    reports["deviceidle"] = f"  mState={phone.deep_idle}\n"
    if phone.sdk >= 29:
        reports["thermalservice"] = _thermal(phone)
    return reports


def _thermal(phone: Phone) -> str:
    lines = "".join(
        f"\tTemperature{{mValue={celsius}, mType={3 if name == 'skin' else 0}, mName={name}, "
        f"mStatus={phone.thermal_status}}}\n"
        for name, celsius in phone.temperatures_c
    )
    return (
        "IsStatusOverride: false\nThermalEventListeners:\n\tcallbacks: 1\n\tkilled: false\n"
        f"Thermal Status: {phone.thermal_status}\nCached temperatures:\n{lines}HAL Ready: true\n"
        "HAL connection:\n\tThermalHAL 2.0 connected: yes\n"
        f"Current temperatures from HAL:\n{lines}Current cooling devices from HAL:\n"
    )


def _battery(phone: Phone) -> str:
    if not phone.battery_present:
        return (
            "Current Battery Service state:\n  AC powered: false\n  USB powered: false\n"
            "  Wireless powered: false\n  status: 1\n  health: 1\n  present: false\n"
            "  level: 0\n  scale: 0\n  voltage: 0\n  temperature: 0\n  technology:\n"
        )
    return (
        f"Current Battery Service state:\n  AC powered: {str(phone.ac_powered).lower()}\n"
        f"  USB powered: {str(phone.usb_powered).lower()}\n  Wireless powered: false\n"
        f"  status: {2 if phone.usb_powered else 3}\n  health: 2\n  present: true\n"
        f"  level: {phone.battery_percent}\n  scale: 100\n  voltage: 4200\n"
        f"  temperature: {round(phone.battery_c * 10)}\n  technology: Li-ion\n"
    )


def _power(phone: Phone) -> str:
    return (
        "POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mDirty=0x0\n"
        f"  mWakefulness={phone.wakefulness}\n"
        f"  mIsPowered={str(phone.usb_powered).lower()}\n"
        f"  mPlugType={2 if phone.usb_powered else 0}\n"
        f"  mBatteryLevel={phone.battery_percent}\n"
    )


def ranges(numbers: tuple[int, ...]) -> str:
    """Sorted CPU numbers as the kernel lists them: (0, 1, 2, 5) is `0-2,5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
