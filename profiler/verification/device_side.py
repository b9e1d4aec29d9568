"""`DeviceVerifier` of the kit: outputs, time and prediction of one deployed network."""

from deploy.exporters.error_limits import deployment_limit
from deploy.verification.device_side import (
    DeviceDefaults,
    DeviceOptions,
    Latency,
    LatencyPrediction,
    VerificationReport,
    VerificationRequest,
)
from deploy.verification.machine import TodaysPrediction
from device_agents.base import DeviceAgent
from device_agents.lock import device_lock
from device_agents.registry import find_device
from profiler.analysis.machine_factor import MachineFactor
from profiler.anchors.machine import TableAnchors, for_today, machine_now
from profiler.campaign.network_timing import NetworkTime, NetworkTimes, time_networks
from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
from profiler.settings import PRESETS, CampaignSettings, runtime_of
from profiler.tables.predict import TablePrediction, predict_network
from profiler.tables.versions import newest_tables
from profiler.verification.outputs import compare_outputs
from search.console.progress import Progress, make_progress
from search.errors import DeviceError, KitError, UsageError
from search.latency.model import Estimate
from search.latency.trust import preempted_sentence
from search.table.manifest import DeviceInfo, Manifest
from search.table.processors import compare_devices
from search.table.store import Table, profile_command, read_manifest, read_table
from search.zoo.resolve import NamedNetwork


class AgentVerifier:
    """A `DeviceVerifier` over the kit's agents and its measuring loop."""

    def defaults(self, device: str) -> DeviceDefaults:
        """Backend and dtype of a device file."""
        known = find_device(device)
        return DeviceDefaults(backend=known.backend, dtype=known.dtype)

    def reach(self, device: DeviceOptions, dtype: str) -> None:
        """Open the device, and close it again."""
        with open_agent(find_device(device.name), _settings(device, dtype)) as agent:
            agent.info()

    def verify(self, request: VerificationRequest) -> VerificationReport:
        """Compare outputs first, so that nothing wrong is timed for long; then time."""
        settings = _settings(request.device, request.architecture.dtype)
        with (
            open_agent(find_device(request.device.name), settings) as agent,
            make_progress(request.quiet) as progress,
            device_lock(agent.info().id, agent.info().id),
        ):
            return _verify(request, settings, agent, progress)


device_side = AgentVerifier()


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
    return timing_settings(find_device(device.name), dtype, timing)


def _verify(
    request: VerificationRequest, settings: CampaignSettings, agent: DeviceAgent, progress: Progress
) -> VerificationReport:
    found, notes = _find_table(request, settings, agent.info())
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
        )
    anchors = TableAnchors.of(found[0], [found[1].architecture]) if found else None
    singles = anchors.exports if anchors else ()
    timing = time_networks([request.export], agent, settings, progress, anchors=singles)
    name = request.export.name
    time = _network_time(timing, name)
    rejected, blocks = (time.rejected, time.blocks) if time else (timing.preempted[name], 0)
    prediction = None
    if found and anchors and time:
        machine, remarks = anchors.factor_in(timing)
        notes = (*notes, *remarks)
        prediction = _prediction(*found, time, request.target_us, machine)
    hello, info = timing.hello, agent.info()
    assert hello is not None
    return VerificationReport(
        device=info.id,
        model=info.model,
        source=agent.source,
        runtime=f"{hello.runtime} {hello.runtime_version or '?'}",
        runner=hello.runner,
        backend=settings.backend,
        threads=hello.threads,
        numbers=numbers,
        latency=_latency(time) if time else None,
        disturbed=preempted_sentence(rejected, blocks, agent.state().load_average),
        prediction=prediction,
        target_us=request.target_us,
        notes=notes,
    )


def _network_time(timing: NetworkTimes, name: str) -> NetworkTime | None:
    """The network's time; None where no block of it ran undisturbed."""
    if name in timing.preempted:
        return None
    if name not in timing.timed:
        raise DeviceError(
            f"The device could not run {name}: {timing.failed[name]}.",
            "Nothing was timed.",
        )
    return timing.timed[name]


def _latency(time: NetworkTime) -> Latency:
    return Latency(
        centre_us=time.centre_us,
        low_us=time.low_us,
        high_us=time.high_us,
        first_us=time.first_us,
        passes=time.passes,
        blocks=time.blocks,
        stable=time.stable,
        rejected=time.rejected,
        clock_khz=time.clock_khz,
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


# --- the table to predict by


def _find_table(
    request: VerificationRequest, settings: CampaignSettings, device: DeviceInfo
) -> tuple[tuple[Table, TablePrediction] | None, tuple[str, ...]]:
    """The table with its prediction, and the notes of the report on it."""
    # The deployed network itself must be predicted: no other convention stands in.
    network = NamedNetwork(name=request.architecture.name, architecture=request.architecture)
    if request.table is not None:
        table = read_table(request.table)
        differences = setting_differences(table.manifest, settings, device)
        if differences:
            raise UsageError(
                f"The table {table.label} is of another setting: {'; '.join(differences)}.",
                f"Name a table of this one, leave --table out, or measure one: "
                f"{profile_command(table.manifest)}",
            )
        doubts = processor_doubts(table.manifest, device)
        prediction = predict_network(table, network)
        return (table, prediction), (*doubts, *_trust(table), *_stand_in(prediction))
    return _newest(request, network, settings, device)


def _newest(
    request: VerificationRequest,
    network: NamedNetwork,
    settings: CampaignSettings,
    device: DeviceInfo,
) -> tuple[tuple[Table, TablePrediction] | None, tuple[str, ...]]:
    """The first newest table that is known to be of this setting and predicts the network.

    One that holds its very classifier goes before one that lends another.
    """
    reasons: list[str] = []
    lent: tuple[tuple[Table, TablePrediction], tuple[str, ...]] | None = None
    for folder in newest_tables(request.tables):
        try:
            manifest = read_manifest(folder)
            if setting_differences(manifest, settings, device):
                continue
            if doubts := processor_doubts(manifest, device):
                reasons.append(f"{doubts[0]}; if it is, name it with --table {folder}")
                continue
            table = read_table(folder)
            prediction = predict_network(table, network)
            if not prediction.lends_classifier:
                return (table, prediction), _trust(table)
            lent = lent or ((table, prediction), (*_trust(table), *_stand_in(prediction)))
        except KitError as error:
            reasons.append(error.message)
    if lent is not None:
        return lent
    why = reasons[0] if reasons else f"no table of this setting below {request.tables}"
    return None, (f"no prediction: {why}",)


def processor_doubts(manifest: Manifest, device: DeviceInfo) -> tuple[str, ...]:
    """Why it is not known that a table is of this device; empty if it is known."""
    likeness = compare_devices(manifest.device, device)
    if likeness.verdict != "unknown":
        return ()
    return (
        f"the table {manifest.device.id}/{manifest.title} may be of another machine "
        f"than {device.id}: {likeness.reason}",
    )


def setting_differences(
    manifest: Manifest, settings: CampaignSettings, device: DeviceInfo
) -> list[str]:
    """Differences of a table's setting to the one at hand, as far as they are known."""
    pairs = {
        "dtype": (manifest.protocol.dtype, settings.dtype),
        "backend": (manifest.runtime.backend, settings.backend),
        "threads": (manifest.protocol.threads, settings.threads),
        "runtime": (runtime_of(manifest), settings.runtime),
    }
    likeness = compare_devices(manifest.device, device)
    found = []
    if likeness.verdict == "different":
        found.append(f"device {manifest.device.id}, not {device.id} ({likeness.reason})")
    return found + [
        f"{name} {theirs}, not {ours}" for name, (theirs, ours) in pairs.items() if theirs != ours
    ]


def _stand_in(prediction: TablePrediction) -> tuple[str, ...]:
    """That another classifier than the network's was priced, if so."""
    return (f"predicted {prediction.note}",) if prediction.note else ()


def _trust(table: Table) -> tuple[str, ...]:
    problem = table.manifest.exam_problem
    return (f"the table has {problem}",) if problem else ()
