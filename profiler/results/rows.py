"""What a finished campaign left, and its row of one operator."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deploy.artefact import Artefact
from device_agents.base import DeviceState
from profiler.analysis.judge import Measurement
from profiler.journal import Journal
from profiler.planning.plan import CampaignPlan
from profiler.results.judged import Measurements
from search.operators.spec import OperatorSpec
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread, TimedFile
from search.table.manifest import DeviceInfo, Source

_NO_BLOCK = "preempted: no block ran undisturbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """All that a table is made of."""

    plan: CampaignPlan
    journal: Journal
    artefacts: Mapping[str, Artefact]
    device: DeviceInfo
    steadiness: DeviceState
    steadiness_after: DeviceState
    source: Source
    parent_id: str | None
    title: str
    created_utc: str
    context: Mapping[str, str]
    notes: tuple[str, ...]


def entry_of(operator: OperatorSpec, findings: Measurements, record: CampaignResult) -> Entry:
    """An operator's row of the table: measured, unstable or failed, and why."""
    failure = findings.failures.get(operator.key)
    found = findings.judged.get(operator.key)
    if failure is not None or found is None:
        reason = f"{failure.kind}: {failure.message}" if failure else _NO_BLOCK
        return _with_counts(Entry(key=operator.key, status="failed", reason=reason), record)
    target = record.plan.settings.effort.target_relative_ci
    entry = Entry(
        key=operator.key,
        status="ok" if found.stable else "unstable",
        reason=None if found.stable else _unstable_reason(found, target),
        time=Interval(centre_us=found.centre_us, low_us=found.low_us, high_us=found.high_us),
        first_call=_first_call(found),
        spread=Spread(
            lower_quartile_us=found.lower_quartile_us,
            mean_us=found.mean_us,
            min_us=found.min_us,
            mad_us=found.mad_us,
            p5_us=found.p5_us,
            p95_us=found.p95_us,
        ),
        sampling=Sampling(
            blocks=found.blocks,
            calls=found.calls,
            passes=found.passes,
            rejected_blocks=found.rejected,
        ),
    )
    return _with_counts(entry, record)


def _first_call(found: Measurement) -> Interval | None:
    if found.first_us is None:
        return None
    return Interval(
        centre_us=found.first_us, low_us=found.first_low_us, high_us=found.first_high_us
    )


def _with_counts(entry: Entry, record: CampaignResult) -> Entry:
    # Of chains, the longest stands for all.
    artefact = record.artefacts.get(record.plan.timed(entry.operator)[-1].name)
    return replace(
        entry,
        counts=OperatorCounts.of(entry.operator),
        artefact=TimedFile(
            sha256=artefact.sha256 if artefact else None,
            error=artefact.relative_error if artefact else None,
        ),
    )


def _unstable_reason(found: Measurement, target: float) -> str:
    return (
        f"interval of +-{found.relative_half_width:.1%} after {found.blocks} blocks, "
        f"asked for {target:.1%}"
    )
