"""One campaign from settings to what is printed of its table."""

import typer

from device_agents.base import AgentSettings
from device_agents.device import Device
from device_agents.registry import make_agent
from profiler.campaign import Request, run_campaign
from profiler.gates import problems
from profiler.progress import make_progress
from profiler.settings import Settings
from profiler.show import show_table, summary


def conduct(
    settings: Settings, target: Device, request: Request, *, quiet: bool, form: str
) -> bool:
    """Measure, print; False if there are reasons not to trust the table.

    Raises:
        KitError: As `run_campaign`.
    """
    agent_settings = AgentSettings(
        backend=settings.backend,
        threads=settings.threads,
        affinity=settings.affinity,
        runner=settings.runner,
        timeout_s=settings.timeout_s,
    )
    with make_agent(target, agent_settings) as agent, make_progress(quiet) as progress:
        table = run_campaign(settings, agent, request, progress)
    if form == "table":
        for line in summary(table):
            typer.echo(line)
        typer.echo(f"written to {table.path}")
    else:
        show_table(table, form, None, None)
    return not problems(table)
