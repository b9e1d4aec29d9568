"""One campaign from settings to what is printed of its table."""

import sys

import typer

from device_agents.base import DeviceAgent
from device_agents.device import Device
from profiler.campaign.run import RunOptions, run_campaign
from profiler.cli.resume import resume_remedy
from profiler.cli.show import show_table
from profiler.measuring.agents import open_agent
from profiler.settings import CampaignSettings
from profiler.tables.checks import table_problems
from profiler.tables.diff import report_changes
from profiler.tables.summary import summary
from search.console.progress import make_progress
from search.errors import Transient


def conduct(
    settings: CampaignSettings,
    target: Device,
    request: RunOptions,
    *,
    quiet: bool,
    form: str,
    recorded: DeviceAgent | None = None,
) -> bool:
    """Measure, print; False if there are reasons not to trust the table.

    Args:
        settings: What to measure and how.
        target: The device.
        request: Where to write, and whether to resume.
        quiet: No progress.
        form: Of what is printed: table, json or csv.
        recorded: Plays records that the device made before, in its stead.

    Raises:
        KitError: As `run_campaign`.
    """
    chosen = recorded or open_agent(target, settings)
    with chosen as agent, make_progress(quiet) as progress:
        try:
            table = run_campaign(settings, agent, request, progress)
        except Transient as error:
            raise type(error)(error.message, resume_remedy(sys.argv)) from error
    report_changes(table)
    if form == "table":
        for line in summary(table):
            typer.echo(line)
        typer.echo(f"written to {table.path}")
    else:
        show_table(table, form, None, None)
    return not table_problems(table)
