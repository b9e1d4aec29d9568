"""The verb `refine`: measure what a table lacks, or only predicts, for certain networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.cli.options import (
    BUDGET,
    DEVICE,
    OUTPUT,
    FastOption,
    FormatOption,
    PrecisionOption,
    QuietOption,
    RestartOption,
    ResumeOption,
    RigorousOption,
    TableArgument,
    TablesOption,
)
from search.console.app import check_format
from search.errors import EXIT_GATE, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from profiler.settings import Effort
    from search.operators.spec import OperatorSpec
    from search.table.entries import Entry
    from search.table.store import Table


def refine(
    table: TableArgument,
    networks: Annotated[
        list[str],
        typer.Option(
            "--from",
            help="Architecture file or published name (repeatable).",
            rich_help_panel=BUDGET,
        ),
    ],
    max_operators: Annotated[
        int,
        typer.Option(help="Predicted rows to measure besides.", min=1, rich_help_panel=BUDGET),
    ] = 10,
    device: Annotated[
        str | None,
        typer.Option(help="Device name, TOML file, serial or NAME@SERIAL.", rich_help_panel=DEVICE),
    ] = None,
    output: TablesOption = Path("tables"),
    fast: FastOption = False,
    rigorous: RigorousOption = False,
    precision: PrecisionOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be added.", rich_help_panel=OUTPUT),
    ] = False,
    quiet: QuietOption = False,
    output_format: FormatOption = "table",
) -> None:
    """Measure what a table lacks or only predicts for networks; writes a new version of it.

    What was measured before is measured again, in the same run as what is new, and the networks
    as a whole too; all times are stated at the old table's state.

    \b
    Examples:
      python -m profiler refine tables/host/fbnetv2-f-budget-v1 --from arch.json --dry-run
      python -m profiler refine TABLE --from arch.json --max-operators 20
      python -m profiler refine "fbnet latest" --from net.json
    """
    from device_agents.registry import find_device
    from profiler.campaign.run import RunOptions
    from profiler.cli.campaign import run_and_show
    from profiler.measuring.agents import open_agent
    from profiler.planning.plan import make_plan
    from profiler.planning.refine import lacking, refined_settings, unsure
    from profiler.tables.predict import check_resolution
    from search.table.query import read_named
    from search.zoo.resolve import find_network

    check_format(output_format)
    read = read_named(table, output)
    architectures = [find_network(text).architecture for text in networks]
    for architecture in architectures:
        check_resolution(read, architecture)
    target = find_device(device or _own_device(read))
    effort = _effort(read, fast, rigorous, precision)
    settings = refined_settings(
        read, architectures, device=target.name, more=max_operators, effort=effort
    )
    if dry_run:
        show_wanted(
            unsure(read, architectures)[:max_operators],
            lacking(read, architectures),
            output_format,
        )
        return
    run_options = RunOptions(
        output=output,
        resume=resume,
        restart=restart,
        notes=(f"refined from {read.manifest.table_id}",),
        state_of=read,
        memory=read.manifest.memory is not None,
    )
    agent = open_agent(target, settings)
    if not run_and_show(
        make_plan(settings), agent, run_options, quiet=quiet, output_format=output_format
    ):
        raise typer.Exit(EXIT_GATE)


def _own_device(table: "Table") -> str:
    """The device that a table was measured on, where its kind alone identifies it."""
    kind = table.manifest.device.kind
    if kind not in ("host", "simulated"):
        raise UsageError(f"{table.label} is of another device.", "Name it with --device.")
    return kind


def _effort(table: "Table", fast: bool, rigorous: bool, precision: float | None) -> "Effort":
    """The effort that was asked for, or else the table's own."""
    from profiler.planning.options import adjust_effort, choose_effort
    from profiler.settings import PRESETS

    own = PRESETS.get(table.manifest.protocol.preset, PRESETS["default"])
    preset = choose_effort(fast, rigorous) if fast or rigorous else own
    return adjust_effort(preset, precision=precision)


def show_wanted(
    predicted: Sequence["Entry"], missing: Sequence["OperatorSpec"], output_format: str
) -> None:
    """Print the rows that a refinement would measure besides those measured before."""
    from search.console.output import emit

    rows: list[dict[str, Any]] = [
        {
            "operator": entry.key,
            "status": "predicted",
            "us": entry.known_time.centre_us,
            "low_us": entry.known_time.low_us,
            "high_us": entry.known_time.high_us,
        }
        for entry in predicted
    ]
    empty = dict.fromkeys(("us", "low_us", "high_us"))
    rows += [{"operator": o.key, "status": "missing", **empty} for o in missing]
    emit(
        output_format,
        table=lambda out: _print_wanted(rows, out),
        content=lambda: rows,
        rows=lambda: rows,
    )


def _print_wanted(rows: Sequence[Mapping[str, Any]], out: "Console") -> None:
    from rich.table import Table as RichTable

    from search.operators.words import short_name

    grid = RichTable(box=None, pad_edge=False)
    grid.add_column("to be measured", overflow="fold")
    for name in ("now", "us", "90 % interval"):
        grid.add_column(name, justify="right")
    for row in rows:
        known = row["us"] is not None
        interval = f"{row['low_us']:.1f} .. {row['high_us']:.1f}" if known else "-"
        us = f"{row['us']:.1f}" if known else "-"
        grid.add_row(short_name(row["operator"]), row["status"], us, interval)
    out.print(grid)
