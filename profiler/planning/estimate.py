"""What a campaign would do: coverage and time, without torch or a device."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.artefact import Artefact, ExportSpec
from deploy.build import lookup
from deploy.exporters.registry import ExporterEntry, exporter_entry
from profiler.journal import Journal, journal_path
from profiler.planning.plan import CampaignPlan, make_plan, timed_subjects
from profiler.settings import CampaignSettings, Effort
from search.operators.counts import count
from search.operators.spec import OperatorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a campaign would do (`--dry-run`).

    `measured` and `missing` count operators of the space; those of published
    networks come on top.
    """

    space: str
    layers: int
    candidates: int
    networks: int
    unique_operators: int
    published_operators: int
    selected_operators: int
    predicted_operators: int
    whole_networks: int
    built: int
    to_build: int
    measured: int
    missing: int
    estimated_seconds: float


def coverage(settings: CampaignSettings, output: Path) -> Coverage:
    """Coverage and estimated time, without torch, a runtime or the device."""
    plan = make_plan(settings)
    entry = exporter_entry(settings.backend, settings.dtype)
    built = lookup(plan.subjects, entry)
    journal = journal_path(output, settings)
    asked = {operator.key for operator in plan.operators}
    own = [
        [subject.name for subject in plan.timed(operator)]
        for operator in plan.space.operators
        if operator.key in asked
    ]
    measured = _journal_count(journal, settings, own)
    size = plan.space.size
    return Coverage(
        space=plan.space.spec,
        layers=size.layers,
        candidates=size.candidates,
        networks=size.networks,
        unique_operators=size.unique_operators,
        published_operators=plan.wanted - size.unique_operators,
        selected_operators=len(plan.operators),
        predicted_operators=len(plan.predicted),
        whole_networks=len(plan.calibration) + len(plan.exam),
        built=len(built),
        to_build=len(plan.subjects) - len(built),
        measured=measured,
        missing=len(own) - measured,
        estimated_seconds=round(_estimate_s(plan, entry, built), 1),
    )


# Seen on two cores; only the estimate depends on it.
_BUILD_S = {
    "xnnpack-fp32": (0.9, 4.8),
    "xnnpack-int8": (2.6, 21.0),
    "onnx-fp32": (0.5, 1.6),
    "coreml-fp16": (1.2, 1.9),
    "coreml-fp32": (1.2, 1.9),
    "coreml-w8": (1.8, 2.6),
}
_SQUEEZE = 0.65  # more for squeeze-excite
_START_S = 7.0
_GMACS_PER_S = 50.0
_NETWORK_LOAD_S = 0.06


def estimate_seconds(settings: CampaignSettings) -> float:
    """How long a campaign is expected to take with the artefacts that are there."""
    plan = make_plan(settings)
    entry = exporter_entry(settings.backend, settings.dtype)
    return _estimate_s(plan, entry, lookup(plan.subjects, entry))


def _estimate_s(plan: CampaignPlan, entry: ExporterEntry, built: Mapping[str, Artefact]) -> float:
    todo = [subject for subject in plan.subjects if subject.name not in built]
    work = sum(_build_s(subject, entry) for subject in todo)
    return (work / _cores() + _START_S if work else 0.0) + measuring_seconds(plan)


def measuring_seconds(plan: CampaignPlan) -> float:
    """How long the passes are expected to take, without extra ones."""
    effort = plan.settings.effort
    networks = (*plan.calibration, *plan.exam)
    calls = effort.warmup + effort.network_loops
    flops = sum(count(operator).flops for s in networks for operator in s.operators)
    timed = len(plan.subjects) - len(networks)
    visit_s = flops / _GMACS_PER_S / 1e9 * calls + timed * _visit_s(effort)
    return effort.passes * (effort.rounds * visit_s + _NETWORK_LOAD_S * len(networks) + 1)


def operator_seconds(settings: CampaignSettings, operators: Sequence[OperatorSpec]) -> list[float]:
    """What each operator adds to a campaign: its passes, and its artefact where there is none."""
    entry = exporter_entry(settings.backend, settings.dtype)
    subjects = [timed_subjects(operator, settings) for operator in operators]
    built = lookup([subject for own in subjects for subject in own], entry)
    visits_s = visiting_seconds(settings.effort)
    return [
        sum(
            visits_s + (0.0 if subject.name in built else _build_s(subject, entry) / _cores())
            for subject in own
        )
        for own in subjects
    ]


def visiting_seconds(effort: Effort) -> float:
    """How long all visits of one item take."""
    return effort.passes * effort.rounds * _visit_s(effort)


def _build_s(subject: ExportSpec, entry: ExporterEntry) -> float:
    operator_s, network_s = _BUILD_S.get(entry.name, (0.0, 0.0))
    squeezed = sum(operator.squeeze_channels > 0 for operator in subject.operators)
    more = 1 + _SQUEEZE * squeezed / len(subject.operators)
    return more * (network_s if len(subject.operators) > 1 else operator_s)


def _visit_s(effort: Effort) -> float:
    return (effort.min_block_us * 1.6 + 600) / 1e6


def _cores() -> int:
    return os.cpu_count() or 1


def _journal_count(path: Path, settings: CampaignSettings, items: Sequence[Sequence[str]]) -> int:
    if not path.exists():
        return 0
    with Journal(path, settings.identity) as journal:
        blocks = journal.blocks()
    wanted = settings.effort.passes * settings.effort.rounds
    return sum(all(len(blocks.get(name, ())) >= wanted for name in names) for names in items)
