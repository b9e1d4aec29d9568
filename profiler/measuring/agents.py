"""Open agents from settings."""

from dataclasses import dataclass

from device_agents.base import AgentSettings, DeviceAgent
from device_agents.device import Device
from device_agents.registry import make_agent
from profiler.planning.options import choose_affinity, parse_runtime
from profiler.settings import CampaignSettings, Effort


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingOptions:
    """How networks are to be timed on a device at hand; None means the device's default."""

    effort: Effort
    backend: str | None = None
    threads: int | None = None
    affinity: str = "auto"
    runner: str = "auto"
    runtime: str = "auto"
    seed: int = 0
    timeout_s: float = 120.0
    workers: int | None = None


def timing_settings(device: Device, dtype: str, options: TimingOptions) -> CampaignSettings:
    """Settings of a run that measures networks only: it has no space.

    Raises:
        UsageError: A value out of range.
    """
    threads = device.threads if options.threads is None else options.threads
    return CampaignSettings(
        device=device.name,
        space="",
        dtype=dtype,
        backend=options.backend or device.backend,
        threads=threads,
        affinity=choose_affinity(options.affinity, threads, device),
        runner=options.runner,
        runtime=parse_runtime(options.runtime, device.platform),
        seed=options.seed,
        effort=options.effort,
        timeout_s=options.timeout_s,
        pin=options.affinity != "none",
    )


def open_agent(device: Device, settings: CampaignSettings, *, profile: bool = False) -> DeviceAgent:
    """The agent for these settings, not yet entered; with `profile` it tells where time goes."""
    agent_settings = AgentSettings(
        backend=settings.backend,
        threads=settings.threads,
        affinity=settings.affinity,
        runner=settings.runner,
        runtime=settings.runtime,
        timeout_s=settings.timeout_s,
        pin=settings.pin,
        profile=profile,
    )
    return make_agent(device, agent_settings)
