"""From a finished journal to the parts of a table."""

import uuid
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from deploy.artefact import ExportSpec
from device_agents.native.record import find_build
from device_agents.protocol import Hello
from profiler.analysis.blocks import clock_of
from profiler.analysis.exam import MeasuredNetwork, calibrate, examine
from profiler.analysis.judge import Measurement
from profiler.analysis.sentinel import drift
from profiler.journal import Journal
from profiler.planning.plan import EMPTY, CampaignPlan
from profiler.results.judged import Measurements, judge_journal
from profiler.results.provenance import kit_info
from profiler.results.rows import CampaignResult, entry_of
from profiler.settings import BAR_MAPE, BAR_SPEARMAN
from search.errors import DeviceError
from search.table.entries import Entry
from search.table.manifest import (
    Calibration,
    Exam,
    Manifest,
    Prediction,
    Protocol,
    RuntimeInfo,
    SpaceInfo,
)
from search.table.store import EXAM_COLUMNS, read_table


def build_table(record: CampaignResult) -> tuple[Manifest, tuple[Entry, ...], pd.DataFrame]:
    """Manifest, rows and exam of one campaign."""
    plan, journal = record.plan, record.journal
    findings = judge_journal(plan, journal)
    judged = findings.judged
    entries = tuple(entry_of(operator, findings, record) for operator in plan.operators)
    entries, prediction = _complete(entries, record)
    by_key = {entry.key: entry for entry in entries if entry.status != "failed"}
    calibration = calibrate(_networks(plan.calibration, by_key, judged), plan.settings.seed)
    exam, rows = _examine(_networks(plan.exam, by_key, judged), calibration, plan.settings.seed)
    manifest = Manifest(
        table_id=uuid.uuid4().hex,
        parent_id=record.parent_id,
        created_utc=record.created_utc,
        source="predicted" if prediction and record.source == "measured" else record.source,
        title=record.title,
        kit=kit_info(),
        space=_space_info(plan, entries),
        device=record.device,
        runtime=_runtime_info(record),
        protocol=_protocol(record, findings),
        calibration=calibration,
        exam=exam,
        prediction=prediction,
        context=dict(record.context),
        notes=(*record.notes, *_network_notes(record)),
        files_sha256={},
    )
    return manifest, entries, rows


def _complete(
    entries: tuple[Entry, ...], record: CampaignResult
) -> tuple[tuple[Entry, ...], Prediction | None]:
    """Rows for what a budget left out, predicted from those that were measured."""
    plan = record.plan
    if not plan.predicted:
        return entries, None
    from profiler.prediction.rows import predict_rows

    measured = [entry for entry in entries if entry.status != "failed"]
    design = "farthest points by importance"
    if plan.drawn:
        design += f", {len(plan.drawn)} drawn by chance"
    if plan.settings.operators_first:
        design += f", {len(plan.settings.operators_first)} asked for"
    source = plan.settings.from_table
    rows = predict_rows(
        measured,
        plan.predicted,
        design,
        read_table(Path(source)) if source else None,
        plan.drawn,
    )
    return (*entries, *rows.entries), rows.prediction


def _network_notes(record: CampaignResult) -> tuple[str, ...]:
    """Networks that could not be measured are named, not passed over."""
    failed = record.journal.failures()
    networks = (*record.plan.calibration, *record.plan.exam)
    return tuple(
        f"network {network.name} was not measured: {failed[network.name].message}"
        for network in networks
        if network.name in failed
    )


def _networks(
    subjects: Sequence[ExportSpec], entries: Mapping[str, Entry], judged: Mapping[str, Measurement]
) -> list[MeasuredNetwork]:
    """Networks that were measured and whose operators all have rows."""
    found = []
    for subject in subjects:
        keys = [operator.key for operator in subject.operators if operator.kind != "skip"]
        if subject.name in judged and all(key in entries for key in keys):
            network = MeasuredNetwork(
                name=subject.name,
                entries=tuple(entries[key] for key in keys),
                measured_us=judged[subject.name].centre_us,
            )
            found.append(network)
    return found


def _examine(
    networks: list[MeasuredNetwork], calibration: Calibration | None, seed: int
) -> tuple[Exam | None, pd.DataFrame]:
    if calibration is None or len(networks) < 3:
        return None, pd.DataFrame(columns=list(EXAM_COLUMNS))
    return examine(networks, calibration, bar_mape=BAR_MAPE, bar_spearman=BAR_SPEARMAN, seed=seed)


def _space_info(plan: CampaignPlan, entries: Sequence[Entry]) -> SpaceInfo:
    status = [entry.status for entry in entries]
    size = plan.space.size
    return SpaceInfo(
        spec=plan.space.spec,
        sha256=plan.space.sha256,
        layers=size.layers,
        candidates=size.candidates,
        operators_expected=plan.wanted,
        operators_measured=status.count("ok"),
        operators_unstable=status.count("unstable"),
        operators_failed=status.count("failed"),
        operators_missing=plan.wanted - len(entries),
        operators_predicted=status.count("predicted"),
        operators_extra=plan.wanted - size.unique_operators,
        filter=plan.settings.filter,
    )


def _placements(record: CampaignResult) -> dict[str, str]:
    """Where the longest chain (or the item itself) ran, by operator, where it is known."""
    seen = record.journal.placements()
    found = {}
    for operator in record.plan.operators:
        longest = record.plan.timed(operator)[-1].name
        if longest in seen:
            found[operator.key] = ", ".join(sorted(seen[longest]))
    return found


def _hello(record: CampaignResult) -> Hello:
    hellos = record.journal.hellos()
    if not hellos:
        raise DeviceError("No runner ever answered.", "See the failures above.")
    first = hellos[0]
    for other in hellos[1:]:
        mine = (first.runner, first.runner_sha256, first.runtime_version, first.affinity)
        if mine != (other.runner, other.runner_sha256, other.runtime_version, other.affinity):
            raise DeviceError(
                "The campaign was resumed with another runner, runtime or affinity than it was "
                "begun with; such rows never share a table.",
                "Begin again with --restart.",
            )
    return first


def _runtime_info(record: CampaignResult) -> RuntimeInfo:
    hello = _hello(record)
    packages = kit_info().packages
    versions = {name: packages[name] for name in ("torch", "executorch") if name in packages}
    build = find_build(hello.runner_sha256)
    return RuntimeInfo(
        name=hello.runtime,
        version=hello.runtime_version,
        backend=hello.backend,
        runner=hello.runner,
        runner_sha256=hello.runner_sha256,
        toolchain=versions | (build.facts() if build else {}),
    )


def _protocol(record: CampaignResult, findings: Measurements) -> Protocol:
    judged = findings.judged
    settings, journal = record.plan.settings, record.journal
    effort, hello = settings.effort, _hello(record)
    times, values = journal.sentinels()
    sentinel, floor = judged.get(record.plan.sentinel), judged.get(EMPTY)
    clock = clock_of(chain.from_iterable(journal.blocks().values()))
    return Protocol(
        dtype=settings.dtype,
        threads=hello.threads,
        affinity_asked=settings.affinity or record.steadiness.pinned,
        affinity_observed=hello.affinity,
        governor=record.steadiness.governor,
        fixed_performance_mode=record.steadiness.fixed_performance_mode,
        phone_before=record.steadiness.phone,
        phone_after=record.steadiness_after.phone,
        preset=effort.preset,
        seed=settings.seed,
        passes=effort.passes,
        rounds_per_pass=effort.rounds,
        warmup=effort.warmup,
        min_block_us=effort.min_block_us,
        target_relative_ci=effort.target_relative_ci,
        temperature_limit_c=settings.max_temperature_c,
        preempted_rejected=sum(found.rejected for found in judged.values()),
        sentinel_key=record.plan.sentinel,
        sentinel_median_us=sentinel.centre_us if sentinel else None,
        sentinel_drift=drift(times, values),
        dispatch_floor_us=floor.centre_us if floor else None,
        chain_lengths=settings.chains,
        chain_intercept_us=findings.dispatch_us,
        placements=_placements(record),
        clock_khz=clock.median_khz if clock else None,
        clock_low_khz=clock.low_khz if clock else None,
        clock_high_khz=clock.high_khz if clock else None,
        max_temperature_c=journal.hottest_c(),
        load_average_start=record.steadiness.load_average,
        duration_s=float(journal.fact("measuring_s") or 0),
    )


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
