"""`DeviceVerifier` of the kit: outputs, time and prediction of one deployed network."""

from dataclasses import replace

from deploy.exporters.error_limits import deployment_limit
from deploy.verification.breakdown import MemoryPrediction
from deploy.verification.device_side import (
    DeviceDefaults,
    DeviceOptions,
    LatencyPrediction,
    ModelRequest,
    VerificationReport,
    VerificationRequest,
)
from deploy.verification.machine import TodaysPrediction
from device_agents.base import DeviceAgent
from device_agents.device import device_names
from device_agents.lock import measuring_lock
from profiler.analysis.machine_factor import MachineFactor
from profiler.anchors.machine import TableAnchors, for_today, machine_now
from profiler.campaign.network_timing import NetworkTime, time_networks
from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
from profiler.settings import PRESETS, CampaignSettings
from profiler.tables.predict import TablePrediction
from profiler.verification.devices import device_of
from profiler.verification.extras import Subject, with_footprint, with_profile, with_sustained
from profiler.verification.models import verify_model
from profiler.verification.outputs import compare_outputs
from profiler.verification.reports import report_of
from profiler.verification.settings import (
    network_time,
)
from profiler.verification.tables import Found, find_tables
from search.console.progress import Progress, make_progress
from search.errors import UsageError
from search.latency.model import Estimate
from search.table.store import Table


class AgentVerifier:
    """A `DeviceVerifier` over the kit's agents and its measuring loop."""

    def names(self) -> tuple[str, ...]:
        """Devices that come with the kit."""
        return device_names()

    def defaults(self, device: DeviceOptions) -> DeviceDefaults:
        """Backend and dtype of a device file."""
        known = device_of(device)
        return DeviceDefaults(backend=known.backend, dtype=known.dtype)

    def reach(self, device: DeviceOptions, dtype: str) -> None:
        """Open the device, and close it again."""
        with open_agent(device_of(device), _settings(device, dtype)) as agent:
            agent.info()

    def verify(self, request: VerificationRequest) -> VerificationReport:
        """Compare outputs first, so that nothing wrong is timed for long; then time."""
        settings = _settings(request.device, request.architecture.dtype)
        target = device_of(request.device)
        with (
            open_agent(target, settings) as agent,
            make_progress(request.quiet) as progress,
            measuring_lock(agent.info()),
        ):
            tables = find_tables(request, settings, agent.info())
            found = tables.burst
            report = _verify(request, settings, agent, progress, found, tables.notes)
            subject = Subject(
                artefact=request.artefact,
                name=request.architecture.name,
                table=found[0] if found else None,
                architecture=found[1].architecture if found else None,
            )
            report = with_footprint(report, target, agent, settings, subject)
            report = with_memory_prediction(report, found)
            report = with_sustained(report, agent, settings, subject, request.sustain_s, progress)
            predicted = tables.sustained_prediction(report.sustained, subject.name)
            report = replace(report, sustained_prediction=predicted)
        return with_profile(report, target, settings, subject) if request.profile else report

    def verify_model(self, request: ModelRequest) -> VerificationReport:
        """The same for a model of the user's own."""
        return verify_model(request, _settings(request.device, request.model.dtype))


device_side = AgentVerifier()


def with_memory_prediction(report: VerificationReport, found: Found | None) -> VerificationReport:
    """The report with the network's own peak memory as the table predicts it.

    A note where the table does not tell it.
    """
    if found is None or report.footprint is None:
        return report
    table, memory = found[0], found[1].memory
    if memory is None:
        note = "the table of the prediction tells no memory of networks"
        return replace(report, notes=(*report.notes, note))
    predicted = MemoryPrediction(
        table=table.label,
        value_kb=memory.value_kb,
        low_kb=memory.low_kb,
        high_kb=memory.high_kb,
        measured_kb=report.footprint.own_kb,
    )
    return replace(report, memory_prediction=predicted)


def _settings(device: DeviceOptions, dtype: str) -> CampaignSettings:
    if device.preset not in PRESETS:
        raise UsageError(f"Unknown preset {device.preset!r}.", f"Known: {', '.join(PRESETS)}.")
    timing = TimingOptions(
        effort=PRESETS[device.preset],
        backend=device.backend,
        threads=device.threads,
        affinity=device.affinity,
        runner=device.runner,
        runtime=device.runtime,
        timeout_s=device.timeout_s,
    )
    return timing_settings(device_of(device), dtype, timing)


def _verify(
    request: VerificationRequest,
    settings: CampaignSettings,
    agent: DeviceAgent,
    progress: Progress,
    found: tuple[Table, TablePrediction] | None,
    notes: tuple[str, ...],
) -> VerificationReport:
    numbers = None
    if agent.source == "simulated":
        notes = (*notes, "a simulated device computes nothing: no numbers to compare")
    else:
        numbers = compare_outputs(
            agent,
            settings,
            request.artefact,
            request.chunks,
            deployment_limit(settings.dtype),
            progress,
            request.architecture.batch,
        )
    anchors = TableAnchors.of(found[0], [found[1].architecture]) if found else None
    singles = anchors.exports if anchors else ()
    timing = time_networks([request.export], agent, settings, progress, anchors=singles)
    time, prediction = network_time(timing, request.export.name), None
    if found and anchors and time:
        machine, remarks = anchors.factor_in(timing)
        notes = (*notes, *remarks)
        prediction = _prediction(*found, time, request.target_us, machine)
    return report_of(
        request.export.name,
        timing,
        agent,
        settings,
        numbers=numbers,
        target_us=request.target_us,
        prediction=prediction,
        notes=notes,
        batch=request.architecture.batch,
    )


def _prediction(
    table: Table,
    prediction: TablePrediction,
    time: NetworkTime,
    target_us: float | None,
    machine: MachineFactor | None,
) -> LatencyPrediction:
    estimate, clock = prediction.estimate, table.manifest.protocol.clock_khz
    known = bool(clock and time.clock_khz)
    at_clock = estimate.value_us / time.at_clock(clock).centre_us - 1 if known else None
    return LatencyPrediction(
        table=table.label,
        value_us=estimate.value_us,
        low_us=estimate.low_us,
        high_us=estimate.high_us,
        probability=None if target_us is None else estimate.probability_below(target_us),
        clock_khz=clock,
        difference=estimate.value_us / time.centre_us - 1,
        difference_at_clock=at_clock,
        machine=machine_now(machine, table.manifest) if machine else None,
        today=_today(for_today(estimate, machine), time, target_us) if machine else None,
    )


def _today(estimate: Estimate, time: NetworkTime, target_us: float | None) -> TodaysPrediction:
    """The prediction for the machine as it is, and the measurement against it."""
    return TodaysPrediction(
        value_us=estimate.value_us,
        low_us=estimate.low_us,
        high_us=estimate.high_us,
        probability=None if target_us is None else estimate.probability_below(target_us),
        table_error=time.centre_us / estimate.value_us - 1,
        within=estimate.low_us <= time.centre_us <= estimate.high_us,
    )
