"""Manifest, rows and exam of a table, from a finished campaign."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from deploy.artefact import ExportSpec
from device_agents.native.record import find_build
from device_agents.protocol import Hello
from profiler.analysis.exam import MeasuredNetwork, examine, fit_model
from profiler.analysis.judge import Measurement
from profiler.analysis.sentinel import drift
from profiler.journal import Journal
from profiler.planning.plan import EMPTY, CampaignPlan
from profiler.results.added import added_notes
from profiler.results.judged import Measurements, judge_journal
from profiler.results.memory import memory_model, with_needs
from profiler.results.old_state import at_state_of
from profiler.results.phones import measuring_phones, with_phones
from profiler.results.provenance import kit_info
from profiler.results.rows import CampaignResult, make_entry
from profiler.settings import BAR_MAPE, BAR_SPEARMAN
from search.costs.matrix import CostMatrix
from search.errors import DeviceError
from search.spaces.base import LayeredSpace
from search.table.calibration import Calibration
from search.table.entries import Entry
from search.table.manifest import (
    Exam,
    Manifest,
    Prediction,
    Protocol,
    RuntimeInfo,
    SpaceInfo,
)
from search.table.store import EXAM_COLUMNS, read_table


def build_table(result: CampaignResult) -> tuple[Manifest, tuple[Entry, ...], pd.DataFrame]:
    """Manifest, rows and exam of one campaign."""
    plan, journal = result.plan, result.journal
    judged = judge_journal(plan, journal)
    measurements, state_notes = at_state_of(
        result.state_of, judged, result, judged.timeline.clock_khz
    )
    entries = tuple(make_entry(operator, measurements, result) for operator in plan.operators)
    entries, prediction = _complete(with_phones(entries, result), result)
    by_key = {entry.key: entry for entry in entries if entry.status != "failed"}
    seed, by_name = plan.settings.seed, measurements.by_name
    model = fit_model(_networks(plan.calibration, by_key, by_name, plan.space), seed)
    if model is not None:
        entries = tuple(model.price(entry) for entry in entries)
        by_key = {key: model.price(entry) for key, entry in by_key.items()}
    calibration = model.calibration if model else None
    exam, rows = _examine(_networks(plan.exam, by_key, by_name, plan.space), calibration, seed)
    memory = memory_model(plan, journal)
    manifest = Manifest(
        table_id=uuid.uuid4().hex,
        parent_id=result.parent_id,
        created_utc=result.created_utc,
        source="predicted" if prediction and result.source == "measured" else result.source,
        title=result.title,
        kit=kit_info(),
        space=_space_info(plan, entries),
        device=result.device,
        runtime=_runtime_info(result),
        protocol=_protocol(result, measurements),
        calibration=calibration,
        exam=exam,
        prediction=prediction,
        memory=memory,
        phones=measuring_phones(result),
        context=dict(result.context),
        notes=(
            *result.notes,
            *state_notes,
            *added_notes(plan, _networks(plan.added, by_key, by_name, plan.space), calibration),
            *_network_notes(result),
        ),
        files_sha256={},
    )
    return manifest, entries, with_needs(rows, plan, journal, memory, result.artefacts)


def _complete(
    entries: tuple[Entry, ...], result: CampaignResult
) -> tuple[tuple[Entry, ...], Prediction | None]:
    """Rows for what a budget left out, predicted from those that were measured."""
    plan = result.plan
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


def _network_notes(result: CampaignResult) -> tuple[str, ...]:
    """Networks that could not be measured are named, not passed over."""
    failed = result.journal.failures()
    return tuple(
        f"network {network.name} was not measured: {failed[network.name].message}"
        for network in result.plan.networks
        if network.name in failed
    )


def _networks(
    networks: Sequence[ExportSpec],
    entries: Mapping[str, Entry],
    measurements: Mapping[str, Measurement],
    space: LayeredSpace,
) -> list[MeasuredNetwork]:
    """Networks that were measured and whose operators all have rows."""
    measured = []
    independent = isinstance(space.costs(lambda _: 0.0), CostMatrix)
    for network in networks:
        keys = [operator.key for operator in network.operators if operator.kind != "skip"]
        if network.name in measurements and all(key in entries for key in keys):
            measured.append(
                MeasuredNetwork(
                    name=network.name,
                    entries=tuple(entries[key] for key in keys),
                    measured_us=measurements[network.name].centre_us,
                    layers=network.operators if independent else (),
                )
            )
    return measured


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


def _placements(result: CampaignResult) -> dict[str, str]:
    """Where the longest chain (or the item itself) ran, by operator, where it is known."""
    units_by_name = result.journal.placements()
    placements = {}
    for operator in result.plan.operators:
        longest = result.plan.timed(operator)[-1].name
        if longest in units_by_name:
            placements[operator.key] = ", ".join(sorted(units_by_name[longest]))
    return placements


def _hello(result: CampaignResult) -> Hello:
    hellos = result.journal.hellos()
    if not hellos:
        raise DeviceError("No runner ever answered.", "See the failures above.")
    first = hellos[0]
    for other in hellos[1:]:
        if _runner(first) != _runner(other):
            raise DeviceError(
                "The campaign was resumed with another runner, runtime or affinity than it was "
                "begun with; such rows never share a table.",
                "Begin again with --restart.",
            )
    return first


def _runner(hello: Hello) -> tuple[object, ...]:
    """What must not change within a table."""
    return (
        hello.runner,
        hello.runner_sha256,
        hello.runner_build,
        hello.runtime_version,
        hello.affinity,
    )


def _runtime_info(result: CampaignResult) -> RuntimeInfo:
    hello = _hello(result)
    packages = kit_info().packages
    tools = ("torch", "coremltools" if hello.backend.startswith("coreml") else "executorch")
    versions = {name: packages[name] for name in tools if name in packages}
    if hello.runner_build is not None:
        versions["agent app"] = hello.runner_build
    build = find_build(hello.runner_sha256)
    return RuntimeInfo(
        name=hello.runtime,
        version=hello.runtime_version,
        backend=hello.backend,
        runner=hello.runner,
        runner_sha256=hello.runner_sha256,
        toolchain=versions | (build.facts() if build else {}),
    )


def _protocol(result: CampaignResult, measurements: Measurements) -> Protocol:
    by_name = measurements.by_name
    settings, journal = result.plan.settings, result.journal
    effort, hello = settings.effort, _hello(result)
    times, values = journal.sentinels()
    sentinel, floor = by_name.get(result.plan.sentinel), by_name.get(EMPTY)
    clock, state = measurements.timeline.clock, measurements.timeline.state
    return Protocol(
        dtype=settings.dtype,
        threads=hello.threads,
        affinity_asked=settings.affinity or result.state_before.pinned,
        affinity_observed=hello.affinity,
        governor=result.state_before.governor,
        fixed_performance_mode=result.state_before.fixed_performance_mode,
        refused_settings=dict(result.state_before.refused_settings),
        cores_offline=_cores_offline(result),
        phone_before=result.state_before.phone,
        phone_after=result.state_after.phone,
        preset=effort.preset,
        seed=settings.seed,
        passes=effort.passes,
        rounds_per_pass=effort.rounds,
        warmup=effort.warmup,
        min_block_us=effort.min_block_us,
        target_relative_ci=effort.target_relative_ci,
        temperature_limit_c=settings.max_temperature_c,
        preempted_rejected=sum(measurement.rejected for measurement in by_name.values()),
        sentinel_key=result.plan.sentinel,
        sentinel_median_us=sentinel.centre_us if sentinel else None,
        sentinel_drift=drift(times, values),
        dispatch_floor_us=floor.centre_us if floor else None,
        chain_lengths=settings.chains,
        chain_intercept_us=measurements.dispatch_us,
        placements=_placements(result),
        clock_khz=clock.median_khz if clock else None,
        clock_low_khz=clock.low_khz if clock else None,
        clock_high_khz=clock.high_khz if clock else None,
        state_reference="mean" if state else None,
        state_low=state.range[0] if state else None,
        state_high=state.range[1] if state else None,
        max_temperature_c=journal.hottest_c(),
        load_average_start=result.state_before.load_average,
        duration_s=float(journal.fact("measuring_s") or 0),
    )


def _cores_offline(result: CampaignResult) -> tuple[int, ...] | None:
    """Cores that were switched off before the run or after it; None where neither is known."""
    states = (result.state_before.cores_offline, result.state_after.cores_offline)
    if states == (None, None):
        return None
    return tuple(sorted({cpu for cores in states for cpu in cores or ()}))


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
