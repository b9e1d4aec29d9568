"""Calls of one program on inputs of a tensor file, outputs back; nothing is timed."""

import uuid
from pathlib import Path

from device_agents.base import DeviceAgent
from device_agents.protocol import Failure, Plan, PlanItem
from profiler.settings import CampaignSettings
from search.errors import DeviceError, Transient
from search.files import sha256_file

_TRIES = 2


def run_file(
    agent: DeviceAgent, settings: CampaignSettings, file: str, sha256: str, inputs: Path
) -> bytes:
    """The device's outputs for a tensor file of inputs, one set after the other.

    Raises:
        DeviceError: The runner failed on them.
        DeviceLost, DeviceTimeout: Twice.
    """
    input_name = agent.deliver(inputs, sha256_file(inputs))
    for attempt in range(_TRIES):
        output_name = agent.reserve()
        item = PlanItem(
            id=0, file=file, sha256=sha256, input=input_name, output=output_name, loops=1
        )
        try:
            _run(agent, settings, item)
            return agent.collect(output_name)
        except Transient:
            if attempt + 1 == _TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _run(agent: DeviceAgent, settings: CampaignSettings, item: PlanItem) -> None:
    plan = Plan(
        nonce=uuid.uuid4().hex,
        backend=settings.backend,
        threads=settings.threads,
        affinity=settings.affinity,
        order_seed=0,
        rounds=0,
        items=(item,),
    )
    for record in agent.run(plan):
        if isinstance(record, Failure):
            raise DeviceError(
                f"The device failed on the inputs ({record.kind}): {record.message}.",
                "Nothing was compared.",
            )
