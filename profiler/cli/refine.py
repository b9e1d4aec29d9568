"""The verb `refine`: parse, call, print."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from search.console.app import check_format
from search.console.output import console, to_csv, to_json
from search.errors import EXIT_GATE, UsageError
from search.operators.words import short_name
from search.table.entries import Entry


def refine(
    table: Annotated[Path, typer.Argument(help="Folder of a table with predicted rows.")],
    networks: Annotated[
        list[str], typer.Option("--from", help="Architecture file or published name (repeatable).")
    ],
    more: Annotated[
        int, typer.Option("--max-operators", help="Rows to measure besides.", min=1)
    ] = 10,
    device: Annotated[
        str | None, typer.Option(help="Device name, TOML file, serial or NAME@SERIAL.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of tables.")] = Path(
        "tables"
    ),
    fast: Annotated[bool, typer.Option("--fast", help="A rough table, quickly.")] = False,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="100 exam networks.")] = False,
    precision: Annotated[
        float | None, typer.Option(help="Half-width of the interval asked for, percent.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an unfinished run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be added.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    form: Annotated[
        str, typer.Option("--format", help="table, json or csv (on standard output).")
    ] = "table",
) -> None:
    """Measure the predicted rows that networks depend on most; writes a new table."""
    from device_agents.registry import find_device
    from profiler.campaign.run import RunOptions
    from profiler.cli.conduct import conduct
    from profiler.cli.refine import show_unsure
    from profiler.planning.options import adjust_effort, choose_effort
    from profiler.planning.refine import refined_settings, unsure
    from profiler.settings import PRESETS
    from search.table.store import read_table
    from search.zoo.resolve import find_network

    check_format(form)
    read = read_table(table)
    found = [find_network(text).architecture for text in networks]
    kind = read.manifest.device.kind
    if device is None and kind not in ("host", "simulated"):
        raise UsageError(f"{read.label} is of another device.", "Name it with --device.")
    preset = PRESETS.get(read.manifest.protocol.preset, PRESETS["default"])
    effort = adjust_effort(
        choose_effort(fast, rigorous) if fast or rigorous else preset,
        iterations=None,
        warmup=None,
        min_time_us=None,
        precision=precision,
        networks=None,
    )
    target = find_device(device or kind)
    settings = refined_settings(read, found, device=target.name, more=more, effort=effort)
    if dry_run:
        show_unsure(unsure(read, found)[:more], form)
        return
    request = RunOptions(
        output=output,
        resume=resume,
        restart=restart,
        notes=(f"refined from {read.manifest.table_id}",),
    )
    if not conduct(settings, target, request, quiet=quiet, form=form):
        raise typer.Exit(EXIT_GATE)


def show_unsure(entries: Sequence[Entry], form: str) -> None:
    """Print the predicted rows that a refinement would measure."""
    times = {e.key: e.known_time for e in entries}
    rows = [
        {"operator": key, "us": time.centre_us, "low_us": time.low_us, "high_us": time.high_us}
        for key, time in times.items()
    ]
    if form == "json":
        print(to_json(rows))
    elif form == "csv":
        print(to_csv(rows), end="")
    else:
        out = console()
        grid = RichTable(box=None, pad_edge=False)
        grid.add_column("to be measured", overflow="fold")
        for name in ("us", "90 % interval"):
            grid.add_column(name, justify="right")
        for key, time in times.items():
            grid.add_row(
                short_name(key), f"{time.centre_us:.1f}", f"{time.low_us:.1f} .. {time.high_us:.1f}"
            )
        out.print(grid)
