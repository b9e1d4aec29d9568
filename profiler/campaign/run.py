"""A campaign from settings to a table: plan, build, measure, judge, examine, write."""

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import filelock
import pandas as pd

from deploy.artefact import Artefact
from deploy.exporters.registry import exporter_entry
from device_agents.base import DeviceAgent, Remarking, Steadiness
from profiler.journal import Journal
from profiler.measuring.artefacts import build_artefacts, check_sentinel
from profiler.measuring.loop import Item, Measurement
from profiler.planning.deadline import measuring_ends, within_time
from profiler.planning.estimate import journal_path
from profiler.planning.plan import CampaignPlan, make_plan
from profiler.results.build_table import tabulate
from profiler.results.judged import unsettled
from profiler.results.rows import Record
from profiler.settings import Settings
from search.cache import cache_root
from search.console.progress import Progress
from search.errors import StorageError, UsageError
from search.table.manifest import DeviceInfo
from search.table.store import MANIFEST, Table, read_manifest, read_table, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for besides the settings."""

    output: Path
    resume: bool = False
    restart: bool = False
    workers: int | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_campaign(
    settings: Settings, agent: DeviceAgent, request: Request, progress: Progress
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
        plan = within_time(plan, artefacts, journal.failures(), progress)
        check_sentinel(plan, artefacts)
        started, before = time.monotonic(), agent.steadiness()
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


@contextlib.contextmanager
def only_one(device: str) -> Iterator[None]:
    """Hold the device's lock: two campaigns at once would measure each other.

    Raises:
        UsageError: Another process holds it.
    """
    path = cache_root() / "locks" / f"{device}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        with lock.acquire(timeout=0):
            yield
    except filelock.Timeout as error:
        raise UsageError(
            f"Another campaign is measuring on {device} at this moment.",
            "Wait until it has ended: two at once would measure each other.",
        ) from error


def _open_journal(settings: Settings, request: Request) -> Journal:
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
        Item(name=name, artefact=artefact, is_network=name in networks)
        for name, artefact in artefacts.items()
    ]
    items.sort(key=lambda item: item.name)
    sentinel = next(item for item in items if item.name == plan.sentinel)
    Measurement(
        settings=plan.settings,
        agent=agent,
        journal=journal,
        items=items,
        sentinel=sentinel,
        progress=progress,
        ends=measuring_ends(plan, began),
        unsettled=partial(unsettled, plan, journal) if plan.settings.chains else None,
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
    request: Request,
    before: Steadiness,
) -> Table:
    device = agent.info()
    stem = table_stem(plan.settings)
    folder, parent = next_version(request.output / device.id, stem)
    record = Record(
        plan=plan,
        journal=journal,
        artefacts=artefacts,
        device=device,
        steadiness=before,
        steadiness_after=agent.steadiness(),
        source=agent.source,
        parent_id=parent,
        title=folder.name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        context=dict(request.context),
        notes=(*request.notes, *(agent.remarks() if isinstance(agent, Remarking) else ())),
    )
    manifest, entries, exam = tabulate(record)
    samples = samples_frame(journal)
    journal.set_fact("table", str(folder.resolve()))
    try:
        return write_table(folder, manifest, entries, samples, exam)
    except OSError as error:
        raise StorageError(
            f"The table could not be written to {folder}: {error.strerror}.",
            "Everything measured is in the journal: make room and add --resume.",
        ) from error


def table_stem(settings: Settings) -> str:
    """A table's name without its version: what it is a table of."""
    stem = f"{settings.space}-{settings.backend}-t{settings.threads}"
    if settings.runner == "python":
        stem += "-python"
    if settings.chains:
        stem += "-chains"
    if settings.filter is not None:
        return f"{stem}-partial"
    return f"{stem}-budget" if settings.max_operators else stem


def next_version(device_folder: Path, stem: str) -> tuple[Path, str | None]:
    """The folder of the next version, and the id of the newest one before it."""
    versions = {}
    for path in device_folder.glob(f"{stem}-v*"):
        number = path.name.removeprefix(f"{stem}-v")
        if number.isdigit():
            versions[int(number)] = path
    if not versions:
        return device_folder / f"{stem}-v1", None
    whole = [number for number, path in versions.items() if (path / MANIFEST).exists()]
    parent = read_manifest(versions[max(whole)]).table_id if whole else None
    return device_folder / f"{stem}-v{max(versions) + 1}", parent


SAMPLE_COLUMNS: Sequence[str] = (
    "item",
    "pass",
    "round",
    "loops",
    "ns",
    "first_ns",
    "switches",
    "at_ns",
    "freq_khz",
    "temperature_mc",
)


def samples_frame(journal: Journal) -> pd.DataFrame:
    """Raw blocks as integers; unknown is null."""
    frame = pd.DataFrame(journal.raw(), columns=list(SAMPLE_COLUMNS))
    return frame.astype({name: "Int64" for name in SAMPLE_COLUMNS if name != "item"})
