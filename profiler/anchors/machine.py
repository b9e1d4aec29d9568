"""The machine of a table today: its factor from timed anchors, and predictions restated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from deploy.artefact import ExportSpec
from deploy.verification.machine import MachineNow
from profiler.analysis.machine_factor import (
    FEWEST_ANCHORS,
    MOST_CHANGE,
    AnchorTime,
    MachineFactor,
    anchor_time,
    machine_factor,
)
from profiler.anchors.choice import choose_anchors, usable_rows
from profiler.anchors.networks import ExamNetwork, exam_networks
from profiler.campaign.network_timing import NetworkTime, NetworkTimes
from search.architecture import Architecture
from search.latency.model import Estimate
from search.operators.words import short_name
from search.table.entries import Entry, Interval
from search.table.manifest import Manifest
from search.table.store import Table, profile_command

_NOT_COMPARED = "the machine is not compared with its state then"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAnchors:
    """A table and its anchors: operators, and networks of its exam; `problem` says why none."""

    table: Table
    rows: tuple[Entry, ...]
    networks: tuple[ExamNetwork, ...] = ()
    problem: str = ""

    @classmethod
    def of(cls, table: Table, networks: Sequence[Architecture] = ()) -> Self:
        """The anchors by which the machine is recognised when these networks are timed."""
        found = len(usable_rows(table))
        if found >= FEWEST_ANCHORS:
            rows = choose_anchors(table, networks)
            return cls(table=table, rows=rows, networks=exam_networks(table))
        why = f"{table.label} has {found} measured operators with narrow intervals"
        if table.manifest.protocol.chain_lengths:
            why = f"{table.label} was measured as chains"
        return cls(table=table, rows=(), problem=f"{_NOT_COMPARED}: {why}")

    @property
    def exports(self) -> tuple[ExportSpec, ...]:
        """What is to be timed: operators by their keys, networks by space and name."""
        operators = tuple(ExportSpec.of(row.operator) for row in self.rows)
        return operators + tuple(network.export for network in self.networks)

    def factor_in(self, timing: NetworkTimes) -> tuple[MachineFactor | None, tuple[str, ...]]:
        """The factor by those anchors that were timed in a run, and notes.

        By the networks, where enough of them were timed, since networks are what a table
        predicts; else by the operators. None, with a note that says why, where there are no
        anchors or too few operators were timed.
        """
        if not self.rows:
            return None, (self.problem,)
        table_khz = self.table.manifest.protocol.clock_khz
        times = [
            anchor_time(
                row.key,
                row.known_time,
                _interval(timing.anchors[row.key].at_clock(table_khz)),
                sensitivity=row.spread.state_sensitivity or 1.0,
            )
            for row in self.rows
            if row.key in timing.anchors
        ]
        notes = tuple(
            f"{_short(export)} was left out of the comparison of states: "
            f"{timing.failed_anchors[export.name]}"
            for export in self.exports
            if export.name in timing.failed_anchors
        )
        today_khz = timing.clock.median_khz if timing.clock else None
        factor = machine_factor(
            times, self._network_times(timing), table_clock_khz=table_khz, clock_khz=today_khz
        )
        if factor is None:
            why = f"only {len(times)} of {len(self.rows)} operators of the table could be timed"
            notes = (*notes, f"{_NOT_COMPARED}: {why}")
        return factor, notes

    def _network_times(self, timing: NetworkTimes) -> list[AnchorTime]:
        """Networks then and now; a table does not say how well it knows theirs: as well as now."""
        table_khz = self.table.manifest.protocol.clock_khz
        found = []
        for network in self.networks:
            if network.export.name in timing.anchors:
                today = timing.anchors[network.export.name].at_clock(table_khz)
                width = (today.high_us - today.low_us) / 2 / today.centre_us * network.table_us
                then = Interval(
                    centre_us=network.table_us,
                    low_us=network.table_us - width,
                    high_us=network.table_us + width,
                )
                found.append(anchor_time(network.export.name, then, _interval(today)))
        return found


def _short(export: ExportSpec) -> str:
    return short_name(export.name) if len(export.operators) == 1 else export.name


def _interval(time: NetworkTime) -> Interval:
    return Interval(centre_us=time.centre_us, low_us=time.low_us, high_us=time.high_us)


def machine_now(factor: MachineFactor, manifest: Manifest) -> MachineNow:
    """The factor as reports state it, with the command that makes the table again if need be."""
    return MachineNow(
        factor=factor.factor,
        low=factor.low,
        high=factor.high,
        spread=factor.spread,
        anchors=len(factor.anchors),
        networks=len(factor.networks),
        operators_factor=factor.operators_factor,
        clock_factor=factor.clock_factor,
        remedy=remake_advice(factor, manifest),
    )


def remake_advice(factor: MachineFactor, manifest: Manifest) -> str:
    """The advice to measure the table again where its machine has moved too far; else nothing."""
    if not factor.is_beyond_bounds:
        return ""
    if abs(math.log(factor.factor)) > math.log1p(MOST_CHANGE):
        why = f"more than {MOST_CHANGE:.0%} away from the table"
    else:
        why = f"operators moved unequally (they scatter by {factor.spread:.0%})"
    command = profile_command(manifest)
    return f"{why}; if it stays like this, measure the table again: {command}"


def for_today(estimate: Estimate, factor: MachineFactor, sensitivity: float = 1.0) -> Estimate:
    """A prediction restated for the machine as it is, at today's clock.

    The interval's half widths of prediction and factor add as independent errors.

    Args:
        estimate: At the table's state and clock.
        factor: The machine's.
        sensitivity: By which share the network follows the machine's state.
    """
    state, low, high = factor.for_sensitivity(sensitivity)
    scale = state * (factor.clock_factor or 1.0)
    value_us = estimate.value_us * scale
    lower = math.hypot((estimate.value_us - estimate.low_us) * scale, value_us * (1 - low / state))
    upper = math.hypot(
        (estimate.high_us - estimate.value_us) * scale, value_us * (high / state - 1)
    )
    return Estimate(value_us=value_us, low_us=value_us - lower, high_us=value_us + upper)
