"""The result of a finished campaign, and a row of its table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deploy.artefact import Artefact
from device_agents.base import DeviceState, Siblings
from profiler.analysis.judge import Measurement
from profiler.journal import Journal
from profiler.planning.plan import CampaignPlan
from profiler.results.judged import Measurements
from search.operators.spec import OperatorSpec
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread, TimedFile
from search.table.manifest import DeviceInfo, Source
from search.table.store import Table

_NO_BLOCK = "preempted: no block ran undisturbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """The parts that a table is made of.

    Times are stated at the machine's state of the table `state_of`, if there is one.
    """

    plan: CampaignPlan
    journal: Journal
    artefacts: Mapping[str, Artefact]
    device: DeviceInfo
    state_before: DeviceState
    state_after: DeviceState
    source: Source
    parent_id: str | None
    title: str
    created_utc: str
    context: Mapping[str, str]
    notes: tuple[str, ...]
    state_of: Table | None = None
    siblings: Siblings | None = None


def make_entry(operator: OperatorSpec, measurements: Measurements, result: CampaignResult) -> Entry:
    """An operator's row of the table: measured, unstable or failed, and why."""
    failure = measurements.failures.get(operator.key)
    measurement = measurements.by_name.get(operator.key)
    if failure is not None or measurement is None:
        reason = f"{failure.kind}: {failure.message}" if failure else _NO_BLOCK
        tried = len(measurements.timeline.blocks.get(operator.key, ()))
        sampling = Sampling(rejected_blocks=0 if failure else tried)
        entry = Entry(key=operator.key, status="failed", reason=reason, sampling=sampling)
        return _with_counts(entry, result)
    target = result.plan.settings.effort.target_relative_ci
    entry = Entry(
        key=operator.key,
        status="ok" if measurement.stable else "unstable",
        reason=None if measurement.stable else _unstable_reason(measurement, target),
        time=measurement.interval,
        first_call=_first_call(measurement),
        spread=Spread(
            lower_quartile_us=measurement.lower_quartile_us,
            mean_us=measurement.mean_us,
            min_us=measurement.min_us,
            mad_us=measurement.mad_us,
            p5_us=measurement.p5_us,
            p95_us=measurement.p95_us,
            state_sensitivity=measurements.sensitivity(operator.key),
        ),
        sampling=Sampling(
            blocks=measurement.blocks,
            calls=measurement.calls,
            passes=measurement.passes,
            rejected_blocks=measurement.rejected,
        ),
    )
    return _with_counts(entry, result)


def _first_call(measurement: Measurement) -> Interval | None:
    if measurement.first_us is None:
        return None
    return Interval(
        centre_us=measurement.first_us,
        low_us=measurement.first_low_us,
        high_us=measurement.first_high_us,
    )


def _with_counts(entry: Entry, result: CampaignResult) -> Entry:
    # Of chains, the longest stands for all.
    artefact = result.artefacts.get(result.plan.timed(entry.operator)[-1].name)
    return replace(
        entry,
        counts=OperatorCounts.of(entry.operator),
        artefact=TimedFile(
            sha256=artefact.sha256 if artefact else None,
            error=artefact.relative_error if artefact else None,
        ),
    )


def _unstable_reason(measurement: Measurement, target: float) -> str:
    return (
        f"interval of +-{measurement.relative_half_width:.1%} after {measurement.blocks} blocks, "
        f"asked for {target:.1%}"
    )
