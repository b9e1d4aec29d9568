"""The report on one timed program: device, runtime, numbers and latency."""

from deploy.verification.device_side import LatencyPrediction, OutputErrors, VerificationReport
from device_agents.base import DeviceAgent
from profiler.campaign.network_timing import NetworkTimes
from profiler.settings import CampaignSettings
from profiler.verification.settings import latency_of, network_time
from search.latency.trust import preempted_sentence


def report_of(
    name: str,
    timing: NetworkTimes,
    agent: DeviceAgent,
    settings: CampaignSettings,
    *,
    numbers: OutputErrors | None,
    target_us: float | None,
    prediction: LatencyPrediction | None = None,
    notes: tuple[str, ...] = (),
    batch: int = 1,
) -> VerificationReport:
    """What is known of the program `name` once it has been timed."""
    time = network_time(timing, name)
    rejected, blocks = (time.rejected, time.blocks) if time else (timing.preempted[name], 0)
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
        latency=latency_of(time) if time else None,
        disturbed=preempted_sentence(rejected, blocks, agent.state().load_average),
        prediction=prediction,
        target_us=target_us,
        notes=notes,
        batch=batch,
    )
