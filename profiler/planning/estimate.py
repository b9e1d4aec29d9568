"""Duration of a campaign: a time model fitted on one machine with two cores.

Only estimates and budgets depend on its constants, never a measurement.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deploy.artefact import Artefact, ExportSpec
from deploy.build import lookup
from deploy.exporters.registry import ExporterEntry
from profiler.planning.plan import CampaignPlan
from profiler.settings import Effort
from search.operators.counts import count
from search.operators.spec import OperatorSpec


class BuildTime(NamedTuple):
    """Seconds that one process takes to export an operator, or a whole network, and to start."""

    operator_s: float
    network_s: float
    start_s: float = 7.0


_BUILD_TIMES = {
    "xnnpack-fp32": BuildTime(0.05, 0.25, 1.5),
    "xnnpack-int8": BuildTime(0.06, 0.5, 2.5),
    "onnx-fp32": BuildTime(0.5, 1.6),
    "coreml-fp16": BuildTime(1.2, 1.9),
    "coreml-fp32": BuildTime(1.2, 1.9),
    "coreml-w8": BuildTime(1.8, 2.6),
}
_SQUEEZE = 0.65  # more for squeeze-excite
_GMACS_PER_S = 50.0
_NETWORK_LOAD_S = 0.06
# Of a device that is kept under load, before each pass.
_LOAD_AGAIN_S = 4.0


def estimate_seconds(plan: CampaignPlan, built: Mapping[str, Artefact] | None = None) -> float:
    """How long a campaign is expected to take, less what is built already.

    Args:
        plan: The campaign.
        built: Artefacts by name; None looks into the artefact cache.
    """
    if built is None:
        built = lookup(plan.exports, plan.exporter)
    missing = [export for export in plan.exports if export.name not in built]
    work_s = sum(_build_s(export, plan.exporter) for export in missing)
    start_s = _build_time(plan.exporter).start_s
    return (work_s / _cores() + start_s if work_s else 0.0) + measuring_seconds(plan)


def measuring_seconds(plan: CampaignPlan) -> float:
    """How long the passes are expected to take, without extra ones."""
    effort = plan.settings.effort
    calls = effort.warmup + effort.network_loops
    flops = sum(count(operator).flops for s in plan.networks for operator in s.operators)
    timed = len(plan.exports) - len(plan.networks)
    networks_s = effort.rounds * flops / _GMACS_PER_S / 1e9 * calls
    networks_s += _NETWORK_LOAD_S * len(plan.networks)
    operators_s = effort.rounds * timed * _visit_s(effort)
    passes_s = effort.passes * (operators_s + networks_s / effort.networks_every + 1)
    if plan.settings.sustain_s is None:
        return passes_s
    return passes_s + plan.settings.sustain_s + effort.passes * _LOAD_AGAIN_S


def operator_seconds(plan: CampaignPlan, operators: Sequence[OperatorSpec]) -> list[float]:
    """The seconds that each operator adds: its passes, and its artefact where there is none."""
    programs = [plan.timed(operator) for operator in operators]
    built = lookup([export for own in programs for export in own], plan.exporter)
    visits_s = visiting_seconds(plan.settings.effort)
    return [
        sum(
            visits_s + (0.0 if export.name in built else _build_s(export, plan.exporter) / _cores())
            for export in own
        )
        for own in programs
    ]


def visiting_seconds(effort: Effort) -> float:
    """How long all visits of one item take."""
    return effort.passes * effort.rounds * _visit_s(effort)


def _build_s(export: ExportSpec, entry: ExporterEntry) -> float:
    time = _build_time(entry)
    squeezed = sum(operator.squeeze_channels > 0 for operator in export.operators)
    more = 1 + _SQUEEZE * squeezed / len(export.operators)
    return more * (time.network_s if len(export.operators) > 1 else time.operator_s)


def _build_time(entry: ExporterEntry) -> BuildTime:
    return _BUILD_TIMES.get(entry.name, BuildTime(0.0, 0.0))


def _visit_s(effort: Effort) -> float:
    return (effort.min_block_us * 1.6 + 600) / 1e6


def _cores() -> int:
    return os.cpu_count() or 1
