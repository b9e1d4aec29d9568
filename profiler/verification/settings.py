"""A run's setting against a table's, and its time as reports state it."""

from pathlib import Path

from deploy.verification.device_side import Latency
from profiler.campaign.network_timing import NetworkTime, NetworkTimes
from profiler.settings import CampaignSettings, runtime_of
from search.errors import DeviceError, UsageError
from search.table.manifest import DeviceInfo, Manifest
from search.table.processors import compare_devices
from search.table.store import Table, profile_command, read_table


def network_time(timing: NetworkTimes, name: str) -> NetworkTime | None:
    """The network's time; None where no block of it ran undisturbed."""
    if name in timing.preempted:
        return None
    if name not in timing.timed:
        raise DeviceError(
            f"The device could not run {name}: {timing.failed[name]}.",
            "Nothing was timed.",
        )
    return timing.timed[name]


def latency_of(time: NetworkTime) -> Latency:
    """A network's time as reports state it."""
    return Latency(
        centre_us=time.centre_us,
        low_us=time.low_us,
        high_us=time.high_us,
        first_us=time.first_us,
        passes=time.passes,
        blocks=time.blocks,
        stable=time.stable,
        rejected=time.rejected,
        clock_khz=time.clock_khz,
    )


def table_of_setting(
    path: Path | None, settings: CampaignSettings, device: DeviceInfo
) -> Table | None:
    """A named table, if it is of this setting.

    Raises:
        UsageError: It is of another one.
    """
    if path is None:
        return None
    table = read_table(path)
    if table.manifest.load_state == "sustained" and settings.load_state == "burst":
        raise UsageError(
            f"The table {table.label} is of the sustained state, and networks are timed in the "
            "burst.",
            "Add --sustain 10m: its prediction of a network of this kit is compared with the last "
            "minute; or name a table of the burst.",
        )
    differences = setting_differences(table.manifest, settings, device)
    if differences:
        raise UsageError(
            f"The table {table.label} is of another setting: {'; '.join(differences)}.",
            f"Name a table of this one, leave --table out, or measure one: "
            f"{profile_command(table.manifest)}",
        )
    return table


def processor_doubts(manifest: Manifest, device: DeviceInfo) -> tuple[str, ...]:
    """Why it is not known that a table is of this device; empty if it is known."""
    likeness = compare_devices(manifest.device, device)
    if likeness.verdict != "unknown":
        return ()
    return (
        f"the table {manifest.device.id}/{manifest.title} may be of another machine "
        f"than {device.id}: {likeness.reason}",
    )


def setting_differences(
    manifest: Manifest, settings: CampaignSettings, device: DeviceInfo
) -> list[str]:
    """Differences of a table's setting to the one at hand, as far as they are known."""
    pairs = {
        "dtype": (manifest.protocol.dtype, settings.dtype),
        "backend": (manifest.runtime.backend, settings.backend),
        "threads": (manifest.protocol.threads, settings.threads),
        "runtime": (runtime_of(manifest), settings.runtime),
        "state": (manifest.load_state, settings.load_state),
    }
    likeness = compare_devices(manifest.device, device)
    found = []
    if likeness.verdict == "different":
        found.append(f"device {manifest.device.id}, not {device.id} ({likeness.reason})")
    return found + [
        f"{name} {theirs}, not {ours}" for name, (theirs, ours) in pairs.items() if theirs != ours
    ]
