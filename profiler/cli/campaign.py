"""Campaigns as the command line runs and prints them."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from device_agents.base import DeviceAgent
from device_agents.device import Device
from device_agents.iphone.replay import ReplayAgent
from profiler.campaign.prepared_folder import prepare, recorded_plan
from profiler.campaign.run import RunOptions, run_campaign
from profiler.cli.show import show_table
from profiler.measuring.agents import open_agent
from profiler.planning.coverage import Coverage
from profiler.planning.options import MeasureOptions, parse_context
from profiler.planning.plan import CampaignPlan
from profiler.tables.diff import report_changes
from profiler.tables.summary import summary
from search.console.output import emit
from search.console.progress import make_progress
from search.errors import Transient, UsageError
from search.latency.trust import table_problems

if TYPE_CHECKING:
    from rich.console import Console


def measure_table(plan: CampaignPlan, device: Device, options: MeasureOptions) -> bool:
    """Measure on the device, or read its records, and print the table.

    Returns:
        Whether the table can be trusted.

    Raises:
        KitError: As `run_campaign`.
    """
    if options.records is None:
        agent = open_agent(device, plan.settings)
    else:
        agent = replay_agent(device, options.records)
        plan = recorded_plan(plan, options.records)
    run_options = RunOptions(
        output=options.output,
        resume=options.resume,
        restart=options.restart,
        workers=options.jobs,
        context=parse_context(options.context or ()),
        memory=options.memory,
    )
    return run_and_show(
        plan, agent, run_options, quiet=options.quiet, output_format=options.output_format
    )


def run_and_show(
    plan: CampaignPlan,
    agent: DeviceAgent,
    options: RunOptions,
    *,
    quiet: bool,
    output_format: str,
) -> bool:
    """Run a campaign and print its table.

    Returns:
        Whether the table can be trusted.

    Raises:
        KitError: As `run_campaign`; what a second try may mend names the command for it.
    """
    with agent as opened, make_progress(quiet) as progress:
        try:
            table = run_campaign(plan, opened, options, progress)
        except Transient as error:
            raise type(error)(error.message, resume_remedy(sys.argv)) from error
    report_changes(table)
    if output_format == "table":
        for line in summary(table):
            typer.echo(line)
        typer.echo(f"written to {table.path}")
    else:
        show_table(table, output_format, None, None)
    return not table_problems(table)


def resume_remedy(argv: Sequence[str]) -> str:
    """The user's own command with --resume, as a sentence that can be pasted into a shell."""
    tokens = [token for token in argv[1:] if token not in ("--resume", "--restart")]
    command = shlex.join(["python", "-m", "profiler", *tokens, "--resume"])
    return f"Everything measured is kept; go on with: {command}"


def show_coverage(coverage: Coverage, output_format: str) -> None:
    """Print what a campaign would do."""

    def print_lines(out: "Console") -> None:
        out.print(f"space             {coverage.space}")
        out.print(f"layers            {coverage.layers}")
        out.print(f"candidates        {coverage.candidates}")
        out.print(f"networks          {coverage.networks:.3g}")
        out.print(
            f"unique operators  {coverage.unique_operators} and {coverage.published_operators} of "
            f"published networks ({coverage.selected_operators} asked)"
        )
        if coverage.predicted_operators:
            out.print(f"to be predicted   {coverage.predicted_operators}")
        out.print(f"already measured  {coverage.measured}")
        out.print(f"missing           {coverage.missing}")
        out.print(f"whole networks    {coverage.whole_networks} for calibration and exam")
        out.print(f"artefacts         {coverage.built} built, {coverage.to_build} to build")
        out.print(f"estimated time    {coverage.estimated_seconds:.0f} s")

    emit(
        output_format,
        table=print_lines,
        content=lambda: asdict(coverage),
        rows=lambda: [asdict(coverage)],
    )


# --- iPhones without a connection to this machine


def write_prepared_folder(
    plan: CampaignPlan, device: Device, folder: Path, options: MeasureOptions
) -> None:
    """Write a campaign as a folder for a Mac, and print what it holds."""
    with make_progress(options.quiet) as progress:
        job = prepare(plan, device, folder, options.jobs, progress)
    facts = {
        "folder": str(folder),
        "items": len(job.items) - 1,
        "failed": len(job.failed),
        "megabytes": round(job.bytes / 1e6, 1),
    }
    message = (
        f"prepared {facts['items']} programs ({facts['megabytes']} MB, {facts['failed']} "
        f"failed) in {folder}; nothing was measured. README.txt there says how to run it."
    )
    emit(
        options.output_format,
        table=lambda _: typer.echo(message),
        content=lambda: facts,
        rows=lambda: [facts],
    )


def replay_agent(device: Device, folder: Path) -> DeviceAgent:
    """The agent that replays the records of a prepared folder.

    Raises:
        UsageError: The device is not an iPhone, or the folder holds no records.
    """
    if device.platform != "ios":
        raise UsageError(f"--records is for iPhones; {device.name} is measured directly.")
    return ReplayAgent(device, folder)
