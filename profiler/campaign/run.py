"""A campaign from settings to a table: plan, build, measure, judge, examine, write."""

import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deploy.artefact import Artefact
from deploy.exporters.registry import exporter_entry
from device_agents.base import DeviceAgent, DeviceState, HasRemarks
from device_agents.lock import only_one
from profiler.journal import Journal, journal_path
from profiler.measuring.artefacts import build_artefacts, check_sentinel
from profiler.measuring.loop import MeasuringLoop, TimedItem
from profiler.planning.deadline import drop_unbuilt, measure_deadline
from profiler.planning.plan import CampaignPlan, make_plan
from profiler.results.build_table import build_table, samples_frame
from profiler.results.judged import unstable_items
from profiler.results.rows import CampaignResult
from profiler.settings import CampaignSettings
from profiler.tables.catalogue import next_version, table_stem
from search.console.progress import Progress
from search.errors import StorageError, UsageError
from search.table.manifest import DeviceInfo
from search.table.store import Table, read_table, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the user asked for besides the settings."""

    output: Path
    resume: bool = False
    restart: bool = False
    workers: int | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_campaign(
    settings: CampaignSettings, agent: DeviceAgent, request: RunOptions, progress: Progress
) -> Table:
    """Do all that is left to do and write the table.

    Raises:
        UsageError: Bad input, an unfinished campaign without --resume, or a
            second campaign at once.
        DeviceError, DeviceLost, DeviceTimeout: The device, with what was
            measured kept in the journal.
        KeyboardInterrupt: Likewise.
    """
    began, plan = time.monotonic(), make_plan(settings)
    entry = exporter_entry(settings.backend, settings.dtype)
    device = agent.info()
    _check_output(request.output)
    next_version(request.output / device.id, table_stem(settings))
    with only_one(device.id), _open_journal(settings, request) as journal:
        _same_device(journal, device)
        progress.say(_announce(plan, device))
        artefacts = build_artefacts(plan, entry, journal, request.workers, progress, began)
        plan = drop_unbuilt(plan, artefacts, journal.failures(), progress)
        check_sentinel(plan, artefacts)
        started, before = time.monotonic(), agent.state()
        try:
            _measure(plan, agent, journal, artefacts, progress, began)
        finally:
            _add_time(journal, time.monotonic() - started)
        table = _written(journal) or _write(plan, agent, journal, artefacts, request, before)
        journal.delete()
    with contextlib.suppress(OSError):
        journal.path.parent.rmdir()
    return table


def _announce(plan: CampaignPlan, device: DeviceInfo) -> str:
    size, settings = plan.space.size, plan.settings
    networks = len(plan.calibration) + len(plan.exam)
    return (
        f"{device.model}: {len(plan.operators)} operators for {size.candidates} candidates of "
        f"{plan.space.spec}, and {networks} whole networks "
        f"({settings.backend}, {settings.threads} thread(s), {settings.effort.preset})"
    )


def _check_output(output: Path) -> None:
    """Refuse before any work what would fail after it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / f".probe-{uuid.uuid4().hex}"
        probe.write_bytes(b"\0" * 65536)
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"Cannot write to {output}: {error.strerror}.", "Choose another folder with --output."
        ) from error


def _open_journal(settings: CampaignSettings, request: RunOptions) -> Journal:
    path = journal_path(request.output, settings)
    if path.exists() and request.restart:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists() and not request.resume:
        raise UsageError(
            "A campaign with these settings was begun and not finished.",
            "Add --resume to go on with it, or --restart to begin again.",
        )
    if request.resume and not path.exists():
        raise UsageError(
            "There is no unfinished campaign with these settings to resume.",
            "Leave --resume out, or use the settings it was begun with.",
        )
    return Journal(path, settings.identity)


def _same_device(journal: Journal, device: DeviceInfo) -> None:
    """Rows of two devices never share a table."""
    begun = journal.fact("device")
    if begun is not None and begun != device.model_dump_json():
        raise UsageError(
            "This campaign was begun on another device (or another system version).",
            "Use that device, or begin again with --restart.",
        )
    journal.set_fact("device", device.model_dump_json())


def _measure(
    plan: CampaignPlan,
    agent: DeviceAgent,
    journal: Journal,
    artefacts: Mapping[str, Artefact],
    progress: Progress,
    began: float,
) -> None:
    networks = {subject.name for subject in (*plan.calibration, *plan.exam)}
    items = [
        TimedItem(name=name, artefact=artefact, is_network=name in networks)
        for name, artefact in artefacts.items()
    ]
    items.sort(key=lambda item: item.name)
    sentinel = next(item for item in items if item.name == plan.sentinel)
    MeasuringLoop(
        settings=plan.settings,
        agent=agent,
        journal=journal,
        items=items,
        sentinel=sentinel,
        progress=progress,
        ends=measure_deadline(plan, began),
        unsettled=partial(unstable_items, plan, journal) if plan.settings.chains else None,
    ).run()


def _add_time(journal: Journal, seconds: float) -> None:
    before = float(journal.fact("measuring_s") or 0)
    journal.set_fact("measuring_s", str(before + seconds))


def _written(journal: Journal) -> Table | None:
    """The table, if an earlier run was stopped between writing it and tidying up."""
    folder = journal.fact("table")
    return read_table(Path(folder)) if folder and Path(folder).exists() else None


def _write(
    plan: CampaignPlan,
    agent: DeviceAgent,
    journal: Journal,
    artefacts: Mapping[str, Artefact],
    request: RunOptions,
    before: DeviceState,
) -> Table:
    device = agent.info()
    stem = table_stem(plan.settings)
    folder, parent = next_version(request.output / device.id, stem)
    record = CampaignResult(
        plan=plan,
        journal=journal,
        artefacts=artefacts,
        device=device,
        steadiness=before,
        steadiness_after=agent.state(),
        source=agent.source,
        parent_id=parent,
        title=folder.name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        context=dict(request.context),
        notes=(*request.notes, *(agent.remarks() if isinstance(agent, HasRemarks) else ())),
    )
    manifest, entries, exam = build_table(record)
    samples = samples_frame(journal)
    journal.set_fact("table", str(folder.resolve()))
    try:
        return write_table(folder, manifest, entries, samples, exam)
    except OSError as error:
        raise StorageError(
            f"The table could not be written to {folder}: {error.strerror}.",
            "Everything measured is in the journal: make room and add --resume.",
        ) from error
