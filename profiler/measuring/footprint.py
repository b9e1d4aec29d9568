"""Memory, loading and first call of one network, alone in a fresh runner process."""

import uuid
from pathlib import Path

from deploy.artefact import Artefact
from deploy.verification.breakdown import Footprint
from device_agents.base import DeviceAgent
from device_agents.device import Device
from device_agents.protocol import Bye, Failure, Loaded, Plan, PlanItem
from profiler.measuring.agents import open_agent
from profiler.settings import CampaignSettings
from search.errors import DeviceError
from search.files import sha256_file

# Where a plan gets a process of its own, or a new agent's first plans do.
_PLATFORMS = ("host", "android", "simulated")


def measure_footprint(
    target: Device,
    agent: DeviceAgent,
    settings: CampaignSettings,
    artefact: Artefact,
    input_file: Path | None = None,
) -> Footprint:
    """What a network needs beside its time; only its file's size on devices that tell no more.

    Args:
        target: The device.
        agent: Its agent, open; the host's gets another one, whose runner is fresh.
        settings: Of the run.
        artefact: The network's file.
        input_file: A tensor file to call it on; seeded numbers without it.

    Raises:
        DeviceError: The device cannot load or call it.
        DeviceLost, DeviceTimeout: The device.
    """
    if target.platform not in _PLATFORMS:
        return Footprint(file_bytes=artefact.size_bytes)
    if target.platform == "host":
        with open_agent(target, settings) as fresh:
            return _measure(fresh, settings, artefact, input_file)
    return _measure(agent, settings, artefact, input_file)


def _measure(
    agent: DeviceAgent, settings: CampaignSettings, artefact: Artefact, input_file: Path | None
) -> Footprint:
    base_kb = launch_alone(agent, settings, ())[1]
    given = None
    if input_file is not None:
        given = agent.deliver(input_file, sha256_file(input_file))
    file = agent.deliver(artefact.path, artefact.sha256)
    item = PlanItem(id=0, file=file, sha256=artefact.sha256, loops=1, input=given)
    loaded, peak_kb = launch_alone(agent, settings, (item,))
    return Footprint(
        file_bytes=artefact.size_bytes,
        load_us=loaded.load_ns / 1e3 if loaded else None,
        first_us=loaded.first_ns / 1e3 if loaded and loaded.first_ns is not None else None,
        planned_bytes=loaded.planned_bytes if loaded else None,
        peak_rss_kb=peak_kb,
        base_rss_kb=base_kb,
    )


def launch_alone(
    agent: DeviceAgent, settings: CampaignSettings, items: tuple[PlanItem, ...], rounds: int = 0
) -> tuple[Loaded | None, int | None]:
    """One plan: how its item was loaded, and the process's peak memory so far.

    With `rounds` a runner of its own, where the agent `starts_fresh`.
    """
    plan = Plan(
        nonce=uuid.uuid4().hex,
        backend=settings.backend,
        threads=settings.threads,
        affinity=settings.affinity,
        order_seed=0,
        rounds=rounds,
        warmup=1,
        min_block_ns=0,
        items=items,
    )
    loaded, peak_kb = None, None
    for record in agent.run(plan):
        if isinstance(record, Failure):
            raise DeviceError(
                f"The device cannot run the network ({record.kind}): {record.message}."
            )
        if isinstance(record, Loaded):
            loaded = record
        if isinstance(record, Bye):
            peak_kb = record.max_rss_kb
    return loaded, peak_kb
