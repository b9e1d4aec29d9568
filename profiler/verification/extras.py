"""What is measured of a network beside outputs and time: footprint, time by operator."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.artefact import Artefact
from deploy.verification.breakdown import Part, TimeProfile
from deploy.verification.device_side import VerificationReport
from device_agents.base import DeviceAgent
from device_agents.device import Device
from device_agents.lock import measuring_lock
from profiler.measuring.agents import open_agent
from profiler.measuring.footprint import measure_footprint
from profiler.measuring.profiling import profile_network
from profiler.measuring.sustained.sustain import Sustain
from profiler.settings import CampaignSettings
from search.architecture import Architecture
from search.console.progress import Progress
from search.errors import KitError
from search.latency.model import LatencyModel
from search.operators.spec import OperatorSpec
from search.operators.words import short_name
from search.table.store import Table

_TRACING = ("host", "android")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The network: its file, the inputs to call it on, and what a table knows of it."""

    artefact: Artefact
    name: str = "network"
    input_file: Path | None = None
    table: Table | None = None
    architecture: Architecture | None = None


def with_footprint(
    report: VerificationReport,
    target: Device,
    agent: DeviceAgent,
    settings: CampaignSettings,
    subject: Subject,
) -> VerificationReport:
    """The report with the network's footprint."""
    artefact, given = subject.artefact, subject.input_file
    found = measure_footprint(target, agent, settings, artefact, given)
    return replace(report, footprint=found)


def with_sustained(
    report: VerificationReport,
    agent: DeviceAgent,
    settings: CampaignSettings,
    subject: Subject,
    seconds: float | None,
    progress: Progress,
) -> VerificationReport:
    """The report with the network's latency over so many seconds; as it is without them."""
    if seconds is None:
        return report
    sustain = Sustain(
        artefacts={subject.name: subject.artefact},
        agent=agent,
        settings=settings,
        progress=progress,
        inputs={subject.name: subject.input_file},
    )
    return replace(report, sustained=sustain.run(seconds))


def with_profile(
    report: VerificationReport, target: Device, settings: CampaignSettings, subject: Subject
) -> VerificationReport:
    """The report with the network's time by operator; why there is none is a note.

    By the runner where it tells, else by the rows of the table that predicts the network.
    """
    expected_us = _expected_us(report)
    if target.platform in _TRACING:
        try:
            profile = _traced(target, settings, subject, expected_us)
            return replace(report, profile=profile)
        except KitError as error:
            report = replace(report, notes=(*report.notes, f"no trace: {error}"))
    if subject.table is None or subject.architecture is None or report.latency is None:
        note = "no time by operator: this device's runner tells none, and no table predicts it"
        return replace(report, notes=(*report.notes, note))
    profile = by_rows(subject.table, subject.architecture.operators, expected_us)
    return replace(report, profile=profile)


def _expected_us(report: VerificationReport) -> float:
    """About what a call takes, to choose how many are traced."""
    first = report.footprint.first_us if report.footprint else None
    return report.latency.centre_us if report.latency else first or 1e5


def _traced(
    target: Device, settings: CampaignSettings, subject: Subject, expected_us: float
) -> TimeProfile:
    with open_agent(target, settings, profile=True) as agent, measuring_lock(agent.info()):
        return profile_network(agent, settings, subject.artefact, expected_us, subject.input_file)


def by_rows(table: Table, operators: Sequence[OperatorSpec], whole_us: float) -> TimeProfile:
    """A network's operators by the rows of a table, against its measured latency."""
    model = LatencyModel(table)
    parts = tuple(
        Part(name=short_name(operator.key), us=us, where="row")
        for operator, us in zip(operators, model.layers_us(operators), strict=True)
    )
    return TimeProfile(
        source="table",
        runtime=None,
        calls=0,
        whole_us=whole_us,
        parts=parts,
        notes=(f"by the rows of {table.label}: what operators add to a network, not traced in it",),
    )
