"""A refinement stated at the machine's state when the refined table was made.

Everything of a refinement is measured in one run, the old operators with the new
ones, so its rows add up by themselves. A machine that has meanwhile become slower
would still move every prediction and every target. All times of the run are therefore
divided by one factor, that of the operators which both tables measured; sums and
ratios within the new table are not touched by that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from profiler.analysis.judge import Measurement
from profiler.analysis.machine_factor import (
    FEWEST_ANCHORS,
    MOST_CHANGE,
    AnchorTime,
    anchor_time,
    machine_factor,
)
from profiler.results.judged import Measurements
from profiler.results.rows import CampaignResult
from search.table.store import Table

_MOST_HALF_WIDTH = 0.05


def at_state_of(
    reference: Table | None, measurements: Measurements, result: CampaignResult, khz: int | None
) -> tuple[Measurements, tuple[str, ...]]:
    """Measurements divided by the machine's factor, and a note of the table that says so.

    They stay as they are, and the note says why, where the factor is not known, where
    the reference is of another setting, and where the machine has moved so far that
    one factor no longer describes it.

    Args:
        reference: The table whose state is meant; None: no restating and no note.
        measurements: Judged, stated at `khz`.
        result: The campaign.
        khz: The run's median clock; None where it was not measured.
    """
    if reference is None:
        return measurements, ()
    label, table_khz = reference.label, reference.manifest.protocol.clock_khz
    today = "times are of the machine as it was in this run"
    differences = _differences(reference, result)
    if differences:
        return measurements, (f"{today}: {label} has another {', '.join(differences)}",)
    speed = khz / table_khz if khz and table_khz else 1.0
    shared = _shared(reference, measurements.by_name, speed)
    factor = machine_factor(shared, table_clock_khz=table_khz, clock_khz=khz)
    if factor is None:
        why = f"{len(shared)} operators are steady in it and in {label}, {FEWEST_ANCHORS} needed"
        return measurements, (f"{today}: {why}",)
    change = f"{factor.factor - 1:+.2%} [{factor.low - 1:+.2%}, {factor.high - 1:+.2%}]"
    by = f"by {len(shared)} operators measured in both"
    if factor.is_beyond_bounds:
        moved = f"it moved by {change} {by}, more than {MOST_CHANGE:.0%} in all or apart"
        return measurements, (f"{today}, not as for {label}: {moved}",)
    restated = replace(
        measurements,
        by_name={name: _divided(one, factor.factor) for name, one in measurements.by_name.items()},
        dispatch_us=measurements.dispatch_us and measurements.dispatch_us / factor.factor,
    )
    return restated, (
        f"times are stated at the state that the machine had for {label}: divided by "
        f"{factor.factor:.4f}, as it moved by {change} {by}",
    )


def _differences(reference: Table, result: CampaignResult) -> Sequence[str]:
    """In what the reference's setting differs from the campaign's."""
    manifest, settings = reference.manifest, result.plan.settings
    pairs = {
        "device": (manifest.device.id, result.device.id),
        "dtype": (manifest.protocol.dtype, settings.dtype),
        "backend": (manifest.runtime.backend, settings.backend),
        "threads": (manifest.protocol.threads, settings.threads),
        "chains": (manifest.protocol.chain_lengths, settings.chains),
        "state": (manifest.load_state, settings.load_state),
    }
    return [name for name, (theirs, ours) in pairs.items() if theirs != ours]


def _shared(reference: Table, by_name: Mapping[str, Measurement], speed: float) -> list[AnchorTime]:
    """Operators that are steady in both, at the reference's clock."""
    return [
        anchor_time(entry.key, entry.known_time, by_name[entry.key].interval, speed=speed)
        for entry in reference.entries
        if entry.status == "ok"
        and entry.relative_half_width <= _MOST_HALF_WIDTH
        and entry.key in by_name
        and by_name[entry.key].relative_half_width <= _MOST_HALF_WIDTH
    ]


def _divided(one: Measurement, factor: float) -> Measurement:
    """A measurement with all of its times divided."""
    times_us = {
        field.name: getattr(one, field.name) for field in fields(one) if field.name.endswith("_us")
    }
    divided = {name: time / factor for name, time in times_us.items() if time is not None}
    return replace(one, **divided)
