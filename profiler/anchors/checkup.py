"""A checkup of a device: what a phone needs, and how far its machine moved since its table."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from device_agents.android.checkup import check_up
from device_agents.checkup_report import Check, Report
from device_agents.device import Device
from device_agents.iphone.checkup import check_up_iphone
from device_agents.lock import measuring_lock
from profiler.analysis.machine_factor import AnchorTime
from profiler.anchors.machine import TableAnchors, machine_now
from profiler.campaign.network_timing import time_networks
from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
from profiler.settings import PRESETS, CampaignSettings, runtime_of
from profiler.tables.versions import newest_tables
from search.console.progress import Progress, Silent
from search.errors import KitError, TableError, UsageError
from search.table.manifest import Manifest
from search.table.query import read_named
from search.table.store import Table, read_manifest, read_table

_EFFORT = PRESETS["fast"]


def check_up_device(
    device: Device,
    timeout_s: float,
    *,
    tables: Path,
    table: Path | None = None,
    runtime: str = "auto",
    progress: Progress | None = None,
) -> Report:
    """Try what a campaign needs of a phone; compare any device with its table, if it has one.

    Args:
        device: A phone, or any device that has a table.
        timeout_s: Longest silence of the runner.
        tables: Where the newest table of the device is looked for.
        table: The table to compare with instead.
        runtime: The phone's; a table is compared with its own.
        progress: Shows what is being tried.

    Raises:
        UsageError: Neither a phone nor a device with a table, or a table of another device.
        TableError: `table` is not a table.
        DeviceError, DeviceLost, DeviceTimeout: The device cannot be opened.
    """
    shown = progress or Silent()
    if device.platform == "android":
        report = check_up(device, timeout_s, runtime, shown)
        if any(check.name == "measurement" and not check.passed for check in report.checks):
            return report  # nothing can be timed, against a table neither
        machine = _machine_check(device, timeout_s, tables, table, shown)
        return replace(report, checks=(*report.checks, *machine))
    if device.platform == "ios":
        report = check_up_iphone(device, timeout_s, progress=shown)
        known = table is not None or any(
            one.device.kind == "ios" for one in _manifests(tables).values()
        )
        if not report.passed or not known:
            return report
        machine = _machine_check(device, timeout_s, tables, table, shown)
        return replace(report, checks=(*report.checks, *machine))
    checks = _machine_check(device, timeout_s, tables, table, shown)
    if not checks:
        raise UsageError(
            f"The device {device.name} needs no checkup, and no table below {tables} is of it.",
            f"Name a phone, or measure a table first: python -m profiler --device {device.name}",
        )
    return Report(device=device.name, rehearsal=False, said=(), checks=checks)


def _machine_check(
    device: Device, timeout_s: float, tables: Path, folder: Path | None, progress: Progress
) -> tuple[Check, ...]:
    """The machine against its table, as one check; none where there is no table of it."""
    known = _manifests(tables) if folder is None else {}
    of_phones = [one for one in known.values() if one.device.kind in ("android", "rehearsal")]
    if device.platform == "android" and folder is None and not of_phones:
        return ()  # without opening the phone once more
    with open_agent(device, _settings(device, timeout_s)) as agent:
        own = agent.info().id
    table = _newest(known, own, device) if folder is None else read_named(folder, tables)
    if table is None:
        return ()
    if table.manifest.device.id != own:
        raise UsageError(
            f"The table {table.label} is of another device than {own}.", "Name one of this device."
        )
    if table.manifest.load_state == "sustained":
        raise UsageError(
            f"The table {table.label} is of the sustained state; a checkup is of the burst.",
            "Name a table of the burst, or leave --table out.",
        )
    try:
        return (_compared(device, table, timeout_s, progress),)
    except KitError as error:
        return (Check(name="machine", passed=False, says=str(error)),)


def _manifests(tables: Path) -> dict[Path, Manifest]:
    """Manifests of the newest tables, those that cannot be read left out."""
    found = {}
    for folder in newest_tables(tables):
        with contextlib.suppress(TableError):
            found[folder] = read_manifest(folder)
    return found


def _newest(known: Mapping[Path, Manifest], own: str, device: Device) -> Table | None:
    """The latest table of a device; of its usual setting if there is one."""
    usual = (device.dtype, device.backend, device.threads)
    ranked = [
        (_setting(manifest) == usual, manifest.created_utc, folder)
        for folder, manifest in known.items()
        if manifest.device.id == own
        and manifest.source != "imported"
        and manifest.load_state == "burst"
    ]
    return read_table(max(ranked)[2]) if ranked else None


def _setting(manifest: Manifest) -> tuple[str, str, int | None]:
    return manifest.protocol.dtype, manifest.runtime.backend, manifest.protocol.threads


def _settings(
    device: Device, timeout_s: float, manifest: Manifest | None = None
) -> CampaignSettings:
    """Settings of the table's own dtype, backend and threads; without one, the device's."""
    options = TimingOptions(effort=_EFFORT, timeout_s=timeout_s)
    if manifest is None:
        return timing_settings(device, device.dtype, options)
    protocol, backend = manifest.protocol, manifest.runtime.backend
    runtime = runtime_of(manifest)
    own = replace(options, backend=backend, threads=protocol.threads, runtime=runtime)
    return timing_settings(device, protocol.dtype, own)


def _compared(device: Device, table: Table, timeout_s: float, progress: Progress) -> Check:
    anchors = TableAnchors.of(table)
    if anchors.problem:
        return Check(name="machine", passed=True, says=anchors.problem)
    settings = _settings(device, timeout_s, table.manifest)
    with open_agent(device, settings) as agent, measuring_lock(agent.info()):
        timing = time_networks((), agent, settings, progress, anchors=anchors.exports)
    factor, notes = anchors.factor_in(timing)
    if factor is None:
        return Check(name="machine", passed=False, says="; ".join(notes))
    machine = machine_now(factor, table.manifest)
    facts = {"table": table.label, **asdict(machine)}
    del facts["remedy"]  # part of the sentence
    facts["operators_us"] = _then_and_now(factor.anchors)
    facts["networks_us"] = _then_and_now(factor.networks)
    says = "; ".join((*machine.sentences(), *notes))
    return Check(name="machine", passed=not machine.remedy, says=says, facts=facts)


def _then_and_now(anchors: Sequence[AnchorTime]) -> dict[str, list[float]]:
    return {one.key: [round(one.table_us, 2), round(one.today_us, 2)] for one in anchors}
