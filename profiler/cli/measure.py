"""The default verb: measure a table."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.options import (
    BUDGET,
    DEVICE,
    EFFORT,
    OUTPUT,
    SPACE,
    AffinityOption,
    ConnectOption,
    DeviceOption,
    EachModelOption,
    FarmOption,
    FarmSecretOption,
    FastOption,
    FormatOption,
    LeaveOutOption,
    ModelOption,
    PrecisionOption,
    QuietOption,
    RestartOption,
    ResumeOption,
    RigorousOption,
    RunnerOption,
    RuntimeOption,
    SerialOption,
    ServerOption,
    TablesOption,
    ThreadsOption,
    TimeoutOption,
    complete_space,
    complete_table,
)
from search.console.app import check_format
from search.console.help import VersionOption
from search.errors import EXIT_GATE


def measure(
    command: typer.Context,
    device: DeviceOption = "host",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    farm: FarmOption = None,
    farm_secret: FarmSecretOption = None,
    model: ModelOption = None,
    each_model: EachModelOption = False,
    leave_out: LeaveOutOption = None,
    space: Annotated[
        str,
        typer.Option(
            help="fbnet, fbnet-mini, single-path, fbnetv2-f, …, a .toml file or a whole spec.",
            rich_help_panel=SPACE,
            autocompletion=complete_space,
        ),
    ] = "fbnet",
    resolution: Annotated[
        int | None, typer.Option(help="Input side in pixels.", rich_help_panel=SPACE)
    ] = None,
    width: Annotated[float, typer.Option(help="Width multiplier.", rich_help_panel=SPACE)] = 1.0,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes.", rich_help_panel=SPACE)
    ] = None,
    head_channels: Annotated[
        int | None,
        typer.Option("--head", help="Channels of the last 1x1 convolution.", rich_help_panel=SPACE),
    ] = None,
    keep_pointwise: Annotated[
        bool | None,
        typer.Option(
            "--keep-pointwise/--drop-pointwise",
            help="Keep the first 1x1 at expansion 1, as FBNet's paper draws it (and as its spaces "
            "do), or drop it, as a later release does (and as the other spaces do).",
            rich_help_panel=SPACE,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Images a call (1 by default).", rich_help_panel=SPACE),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="fp32, int8; fp16, w8 on iPhones.", rich_help_panel=DEVICE)
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="xnnpack, onnxruntime, coreml-…", rich_help_panel=DEVICE)
    ] = None,
    threads: ThreadsOption = None,
    affinity: AffinityOption = "auto",
    runner: RunnerOption = "auto",
    runtime: RuntimeOption = "auto",
    fast: FastOption = False,
    rigorous: RigorousOption = False,
    iterations: Annotated[
        int | None, typer.Option(help="Timed blocks an operator.", rich_help_panel=EFFORT)
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Warm-up calls a visit.", rich_help_panel=EFFORT)
    ] = None,
    min_time_us: Annotated[
        float | None,
        typer.Option("--min-time", help="Shortest block, microseconds.", rich_help_panel=EFFORT),
    ] = None,
    precision: PrecisionOption = None,
    networks: Annotated[
        int | None, typer.Option(help="Networks of the exam.", rich_help_panel=EFFORT)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of order and random networks.", rich_help_panel=EFFORT)
    ] = 0,
    filter: Annotated[
        str | None,
        typer.Option(help="Only operators whose key matches this.", rich_help_panel=SPACE),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time to spend (90s, 15m, 1h); the rest is predicted.", rich_help_panel=BUDGET
        ),
    ] = None,
    max_operators: Annotated[
        int | None,
        typer.Option(help="Operators to measure; the rest is predicted.", rich_help_panel=BUDGET),
    ] = None,
    from_table: Annotated[
        Path | None,
        typer.Option(
            help="Another device's table to start the prediction from.",
            rich_help_panel=BUDGET,
            autocompletion=complete_table,
        ),
    ] = None,
    cooldown_s: Annotated[
        float,
        typer.Option("--cooldown", help="Seconds of rest between passes.", rich_help_panel=EFFORT),
    ] = 0.0,
    max_temperature_c: Annotated[
        float | None,
        typer.Option("--max-temp", help="Wait above this, Celsius.", rich_help_panel=EFFORT),
    ] = None,
    sustain: Annotated[
        str | None,
        typer.Option(
            help="A table of the sustained state: load the device for so long first (2m to 24h), "
            "and keep it under load.",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    timeout_s: TimeoutOption = 120.0,
    jobs: Annotated[
        int | None, typer.Option(help="Parallel builds.", rich_help_panel=EFFORT)
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory",
            help="Measure peak memory, loading and first call of networks as well.",
            rich_help_panel=EFFORT,
        ),
    ] = True,
    output: TablesOption = Path("tables"),
    context: Annotated[
        list[str] | None,
        typer.Option(help="key=value to record (repeatable).", rich_help_panel=OUTPUT),
    ] = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print coverage and time.", rich_help_panel=OUTPUT),
    ] = False,
    prepare: Annotated[
        Path | None,
        typer.Option(
            help="iPhone: only write a folder to be run from a Mac.", rich_help_panel=OUTPUT
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="iPhone: a prepared folder with the phone's records.", rich_help_panel=OUTPUT
        ),
    ] = None,
    quiet: QuietOption = False,
    output_format: FormatOption = "table",
    version: VersionOption = False,
) -> None:
    """Measure a latency table on a device; the commands below read, check and compare tables.

    \b
    Examples:
      python -m profiler --device host --fast
      python -m profiler --device pixel --space fbnetv2-f --budget 15m
    """
    typed = dict(locals())  # all options by name, before any other local variable
    if command.invoked_subcommand is not None:
        return
    import sys

    from device_agents.registry import find_device
    from profiler.cli.campaign import measure_table, show_coverage, write_prepared_folder
    from profiler.cli.farm.campaign import (
        FarmOptions,
        farm_models,
        measure_each,
        named_for_farm,
        on_farm,
    )
    from profiler.journal import journal_path, require_unfinished
    from profiler.planning.coverage import coverage
    from profiler.planning.options import MeasureOptions, plan_campaign
    from search.table.query import find_table

    check_format(output_format)
    if from_table is not None and (budget, max_operators) != (None, None):
        typed["from_table"] = find_table(from_table, output)
    options = MeasureOptions.of(typed)
    shelf = FarmOptions(
        farm=farm,
        farm_secret=farm_secret,
        model=model,
        each_model=each_model,
        leave_out=leave_out or (),
    )
    shelf.check(sustain)
    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    target = named_for_farm(target, shelf)
    plan = plan_campaign(options, target)
    target = on_farm(target, shelf, plan.settings, output)
    if dry_run and resume:
        require_unfinished(journal_path(output, plan.settings))
    if dry_run:
        show_coverage(coverage(plan, output), output_format)
    elif prepare is not None:
        write_prepared_folder(plan, target, prepare, options)
    elif each_model:
        raise typer.Exit(measure_each(farm_models(shelf, target), sys.argv[1:], typer.echo))
    elif not measure_table(plan, target, options):
        raise typer.Exit(EXIT_GATE)
