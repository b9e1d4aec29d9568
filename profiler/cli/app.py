"""The command line: parse, call, print. No logic of its own."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from profiler.cli import devices as cli_devices
from profiler.cli.checkup import checkup
from profiler.cli.compare import compare
from profiler.cli.completion import completion
from profiler.cli.curve_verb import curve
from profiler.cli.devices import ConnectOption, DeviceOption, SerialOption, ServerOption
from profiler.cli.import_export import export, import_
from profiler.cli.refine import refine
from profiler.cli.report import report
from search.console.app import check_format, run_app
from search.errors import EXIT_GATE, UsageError

app = typer.Typer(
    add_completion=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Measure latency tables on a device, and read, check and compare them.",
)

Form = Annotated[str, typer.Option("--format", help="table, json or csv (on standard output).")]


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    device: DeviceOption = "host",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    space: Annotated[
        str,
        typer.Option(
            help="fbnet, fbnet-cifar, fbnet-mini, single-path, fbnetv2-f, … or a full spec."
        ),
    ] = "fbnet",
    resolution: Annotated[int | None, typer.Option(help="Input side in pixels.")] = None,
    width: Annotated[float, typer.Option(help="Width multiplier.")] = 1.0,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    head: Annotated[int | None, typer.Option(help="Channels of the last 1x1 convolution.")] = None,
    keep_pointwise: Annotated[
        bool, typer.Option(help="Keep the first 1x1 at expansion 1, as the paper draws it.")
    ] = False,
    dtype: Annotated[str | None, typer.Option(help="fp32, int8; fp16, w8 on iPhones.")] = None,
    backend: Annotated[str | None, typer.Option(help="xnnpack, onnxruntime, coreml-…")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    affinity: Annotated[str, typer.Option(help="auto, none, 0-3,6 or mask:f0.")] = "auto",
    runner: Annotated[str, typer.Option(help="auto, native or python.")] = "auto",
    fast: Annotated[bool, typer.Option("--fast", help="A rough table, quickly.")] = False,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="100 exam networks.")] = False,
    iterations: Annotated[int | None, typer.Option(help="Timed blocks an operator.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Warm-up calls a visit.")] = None,
    min_time: Annotated[float | None, typer.Option(help="Shortest block, microseconds.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Half-width of the interval asked for, percent.")
    ] = None,
    networks: Annotated[int | None, typer.Option(help="Networks of the exam.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of order and random networks.")] = 0,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="Only operators whose key matches this.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to spend (90s, 15m, 1h); the rest is predicted.")
    ] = None,
    max_operators: Annotated[
        int | None, typer.Option(help="Operators to measure; the rest is predicted.")
    ] = None,
    from_table: Annotated[
        Path | None, typer.Option(help="Another device's table to start the prediction from.")
    ] = None,
    cooldown: Annotated[float, typer.Option(help="Seconds of rest between passes.")] = 0.0,
    max_temp: Annotated[float | None, typer.Option(help="Wait above this, Celsius.")] = None,
    timeout: Annotated[float, typer.Option(help="Longest silence of the runner, seconds.")] = 120.0,
    jobs: Annotated[int | None, typer.Option(help="Parallel builds.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of tables.")] = Path(
        "tables"
    ),
    extra: Annotated[
        list[str] | None, typer.Option("--context", help="key=value to record (repeatable).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an unfinished run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print coverage and time.")] = False,
    prepare: Annotated[
        Path | None, typer.Option(help="iPhone: only write a folder to be run from a Mac.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="iPhone: a prepared folder with the phone's records.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    form: Form = "table",
) -> None:
    """Measure a table (the default), or run one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from device_agents.registry import find_device
    from profiler.planning.options import (
        MeasureOptions,
        adjust_effort,
        choose_effort,
        choose_space,
        make_settings,
        parse_context,
    )

    check_format(form)
    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    if jobs is not None and jobs < 1:
        raise UsageError("--jobs must be at least 1.")
    asked = MeasureOptions(
        space=space,
        resolution=resolution,
        width=width,
        classes=classes,
        head_channels=head,
        keep_pointwise=keep_pointwise,
        dtype=dtype,
        backend=backend,
        threads=threads,
        affinity=affinity,
        runner=runner,
        seed=seed,
        filter=filter_,
        max_temperature_c=max_temp,
        timeout_s=timeout,
        cooldown_s=cooldown,
    )
    chosen = choose_space(asked, target)
    effort = adjust_effort(
        choose_effort(fast, rigorous),
        iterations=iterations,
        warmup=warmup,
        min_time_us=min_time,
        precision=precision,
        networks=networks,
    )
    settings = make_settings(asked, target, chosen, effort)
    if resume and restart:
        raise UsageError("--resume and --restart exclude each other.")
    if budget or max_operators is not None or from_table:
        from profiler.planning.budget import with_budget

        settings = with_budget(
            settings, budget=budget, max_operators=max_operators, from_table=from_table
        )
    if dry_run:
        from profiler.cli.show import show_coverage
        from profiler.planning.estimate import coverage

        show_coverage(coverage(settings, output), form)
        return
    from profiler.campaign.run import RunOptions
    from profiler.cli.prepared import prepare_only, recorded_agent

    if prepare is not None:
        prepare_only(settings, target, prepare, jobs, quiet, form)
        return
    if records is not None:
        settings = settings.without_extra_passes()
    request = RunOptions(
        output=output,
        resume=resume,
        restart=restart,
        workers=jobs,
        context=parse_context(extra or []),
    )
    agent = None if records is None else recorded_agent(target, records)
    from profiler.cli.conduct import conduct

    if not conduct(settings, target, request, quiet=quiet, form=form, recorded=agent):
        raise typer.Exit(EXIT_GATE)


@app.command()
def networks(form: Form = "table") -> None:
    """List published networks: our counts beside the figures their authors printed."""
    from profiler.cli.networks import show_networks

    check_format(form)
    show_networks(form)


@app.command()
def show(
    table: Annotated[Path, typer.Argument(help="Folder of a table.")],
    every: Annotated[bool, typer.Option("--all", help="All rows, not the 20 slowest.")] = False,
    match: Annotated[str | None, typer.Option(help="Only operators that contain this.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Whole keys, not short words.")] = False,
    form: Form = "table",
) -> None:
    """Print a table: what it is, how far to trust it, its operators."""
    from profiler.cli.show import show_table
    from search.table.store import read_table

    check_format(form)
    show_table(read_table(table), form, None if every else 20, match, keys)


@app.command()
def validate(
    table: Annotated[Path, typer.Argument(help="Folder of a table.")],
    form: Form = "table",
) -> None:
    """Check that a table is whole, unedited, complete and examined (exit 1 if not)."""
    from profiler.tables.checks import table_problems
    from search.console.output import to_csv, to_json
    from search.spaces.registry import parse_space
    from search.table.store import read_table

    check_format(form)
    read = read_table(table)
    found = table_problems(read)
    imported = read.manifest.source == "imported"
    if not imported and parse_space(read.manifest.space.spec).sha256 != read.manifest.space.sha256:
        found.append("the space's definition has changed since this table was measured")
    if form == "json":
        typer.echo(to_json({"table": read.label, "valid": not found, "problems": found}))
    elif form == "csv":
        typer.echo(
            to_csv([{"table": read.label, "problem": text} for text in found or [""]]), nl=False
        )
    else:
        for problem in found:
            typer.echo(f"PROBLEM: {problem}")
        verdict = "whole, complete and examined" if not found else f"{len(found)} problem(s)"
        typer.echo(f"{read.label}: {verdict}")
    if found:
        raise typer.Exit(EXIT_GATE)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="Table to compare with.")],
    new: Annotated[Path, typer.Argument(help="Table to judge.")],
    threshold: Annotated[float, typer.Option(help="Smallest change that counts.")] = 0.05,
    fdr: Annotated[float, typer.Option(help="False discovery rate.")] = 0.05,
    form: Form = "table",
) -> None:
    """Compare two tables operator by operator; exit 1 if any became slower."""
    from profiler.cli.diff import show_difference
    from profiler.tables.diff import compare_tables
    from search.table.store import read_table

    check_format(form)
    if threshold < 0 or not 0 < fdr < 1:
        raise UsageError("--threshold must not be negative, --fdr must lie between 0 and 1.")
    difference = compare_tables(read_table(old), read_table(new), threshold=threshold, fdr=fdr)
    show_difference(difference, form)
    if difference.regressions:
        raise typer.Exit(EXIT_GATE)


app.command()(compare)
app.command()(checkup)
app.add_typer(cli_devices.app, name="devices")
app.command("import")(import_)
app.command()(export)
app.command()(report)
app.command()(curve)
app.command()(refine)
app.command()(completion)


_INTERRUPTED = "Interrupted. Everything measured is kept; the same command with --resume goes on."


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "profiler", _INTERRUPTED)
