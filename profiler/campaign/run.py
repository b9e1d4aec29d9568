"""A campaign from plan to table: build, measure, judge, examine, write."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from deploy.artefact import Artefact
from device_agents.base import DeviceAgent, DeviceState, HasRemarks, HasSiblings
from device_agents.lock import measuring_lock
from profiler.journal import Journal, journal_path, require_unfinished
from profiler.measuring.artefacts import build_artefacts, check_sentinel
from profiler.measuring.items import TimedItem
from profiler.measuring.loop import MeasuringLoop
from profiler.measuring.memory import MOST_EXAMINED, MOST_FITTED, MemoryStage
from profiler.planning.cores import check_device_cores
from profiler.planning.deadline import drop_unbuilt, measure_deadline
from profiler.planning.plan import CampaignPlan
from profiler.results.build_table import build_table, samples_frame
from profiler.results.rows import CampaignResult
from profiler.results.settled import unsettled
from profiler.settings import CampaignSettings
from profiler.tables.versions import next_version, table_stem
from search.console.messages import counted
from search.console.progress import Progress
from search.errors import Stable, StorageError, UsageError
from search.files import check_folder
from search.table.manifest import DeviceInfo
from search.table.processors import compare_devices
from search.table.store import Table, read_table, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a campaign: where to write, whether to resume, what to record with it.

    Times are stated at the machine's state of the table `state_of`, if one is given. With
    `memory` the networks' memory, loading and first calls are measured when all is timed.
    """

    output: Path
    resume: bool = False
    restart: bool = False
    workers: int | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    state_of: Table | None = None
    memory: bool = False


def run_campaign(
    plan: CampaignPlan, agent: DeviceAgent, options: RunOptions, progress: Progress
) -> Table:
    """Build, measure and judge what the journal does not hold yet, and write the table.

    Raises:
        UsageError: Bad input, an unfinished campaign without --resume, or a
            second campaign at once.
        DeviceError, DeviceLost, DeviceTimeout, KeyboardInterrupt: The campaign
            ended early; what was measured is in the journal.
    """
    began, device = time.monotonic(), agent.info()
    check_device_cores(device, plan.settings.threads, plan.settings.affinity)
    check_folder(options.output, "--output")
    next_version(options.output, device, table_stem(plan.settings))
    with (
        measuring_lock(device),
        _campaign_journal(plan.settings, options) as journal,
    ):
        _check_device(journal, device)
        progress.say(_announcement(plan, device))
        artefacts = build_artefacts(plan, journal, options.workers, progress, began)
        plan = drop_unbuilt(plan, artefacts, journal.failures(), progress)
        check_sentinel(plan, artefacts)
        started, before = time.monotonic(), agent.state()
        try:
            _measure(plan, agent, journal, artefacts, progress, began)
            if options.memory:
                _measure_memory(plan, agent, journal, artefacts, progress, began)
        finally:
            _add_time(journal, time.monotonic() - started)
        table = _written(journal) or _write(plan, agent, journal, artefacts, options, before)
        journal.delete()
    with contextlib.suppress(OSError):
        journal.path.parent.rmdir()
    return table


def _announcement(plan: CampaignPlan, device: DeviceInfo) -> str:
    size, settings = plan.space.size, plan.settings
    return (
        f"{device.model}: {len(plan.operators)} operators for {size.candidates} candidates of "
        f"{plan.space.label}, and {len(plan.networks)} whole networks "
        f"({settings.backend}, {counted(settings.threads, 'thread')}, {settings.effort.preset})"
    )


@contextlib.contextmanager
def _campaign_journal(settings: CampaignSettings, options: RunOptions) -> Iterator[Journal]:
    """The campaign's journal; one that holds nothing goes again where the same call would fail.

    So do the folders that were made for it.
    """
    there = [path for path in (options.output, *options.output.parents) if path.exists()]
    with _open_journal(settings, options) as journal:
        try:
            yield journal
        except Stable as error:
            if isinstance(error, StorageError) or not journal.is_empty:
                raise
            journal.delete()
            for folder in journal.path.parents:
                if folder in there or any(folder.iterdir()):
                    break
                folder.rmdir()
            raise


def _open_journal(settings: CampaignSettings, options: RunOptions) -> Journal:
    path = journal_path(options.output, settings)
    if path.exists() and options.restart:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists() and not options.resume:
        raise UsageError(
            "A campaign with these settings was begun and not finished.",
            "Add --resume to go on with it, or --restart to begin again.",
        )
    if options.resume:
        require_unfinished(path)
    return Journal(path, settings.identity)


def _check_device(journal: Journal, device: DeviceInfo) -> None:
    """Refuse to resume on another device: rows of two devices never share a table."""
    begun = journal.fact("device")
    if begun is not None and begun != device.model_dump_json():
        raise UsageError(
            "This campaign was begun on another device (or another system version): "
            f"{_other_device(begun, device)}.",
            "Use that device, or begin again with --restart.",
        )
    journal.set_fact("device", device.model_dump_json())


def _other_device(begun: str, device: DeviceInfo) -> str:
    """How a device differs from the one that a journal names."""
    try:
        old = DeviceInfo.model_validate_json(begun)
    except ValidationError:
        return "one that this kit does not know"
    likeness = compare_devices(old, device)
    if likeness.verdict != "same":
        return f"{old.id}, not {device.id} ({likeness.reason})"
    fields = [
        name for name in DeviceInfo.model_fields if getattr(old, name) != getattr(device, name)
    ]
    return f"it differs in {', '.join(fields)}"


def _measure(
    plan: CampaignPlan,
    agent: DeviceAgent,
    journal: Journal,
    artefacts: Mapping[str, Artefact],
    progress: Progress,
    began: float,
) -> None:
    networks = {network.name for network in plan.networks}
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
        unsettled=partial(unsettled, plan, journal),
    ).run()


def _measure_memory(
    plan: CampaignPlan,
    agent: DeviceAgent,
    journal: Journal,
    artefacts: Mapping[str, Artefact],
    progress: Progress,
    began: float,
) -> None:
    stage = MemoryStage(
        settings=plan.settings,
        agent=agent,
        journal=journal,
        artefacts=artefacts,
        progress=progress,
        ends=measure_deadline(plan, began),
    )
    networks = (*plan.calibration[:MOST_FITTED], *plan.exam[:MOST_EXAMINED])
    stage.run([network.name for network in networks])


def _add_time(journal: Journal, seconds: float) -> None:
    before = float(journal.fact("measuring_s") or 0)
    journal.set_fact("measuring_s", str(before + seconds))


def _written(journal: Journal) -> Table | None:
    """The table, if an earlier run ended after writing it and before deleting its journal."""
    folder = journal.fact("table")
    return read_table(Path(folder)) if folder and Path(folder).exists() else None


def _write(
    plan: CampaignPlan,
    agent: DeviceAgent,
    journal: Journal,
    artefacts: Mapping[str, Artefact],
    options: RunOptions,
    before: DeviceState,
) -> Table:
    device = agent.info()
    folder, parent = next_version(options.output, device, table_stem(plan.settings))
    remarks = agent.remarks() if isinstance(agent, HasRemarks) else ()
    result = CampaignResult(
        plan=plan,
        journal=journal,
        artefacts=artefacts,
        device=device,
        state_before=before,
        state_after=agent.state(),
        source=agent.source,
        parent_id=parent,
        title=folder.name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        context=dict(options.context),
        notes=(*options.notes, *remarks),
        state_of=options.state_of,
        siblings=agent.siblings() if isinstance(agent, HasSiblings) else None,
    )
    manifest, entries, exam = build_table(result)
    samples = samples_frame(journal)
    journal.set_fact("table", str(folder.resolve()))
    try:
        return write_table(folder, manifest, entries, samples, exam)
    except OSError as error:
        raise StorageError(
            f"The table could not be written to {folder}: {error.strerror}.",
            "Everything measured is in the journal: make room and add --resume.",
        ) from error
