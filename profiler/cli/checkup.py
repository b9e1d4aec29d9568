"""The verb `checkup`: the first run on a real phone, and any device against its table."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.options import (
    DEVICE,
    OUTPUT,
    ConnectOption,
    DeviceOption,
    QuietOption,
    RuntimeOption,
    SerialOption,
    ServerOption,
    complete_table,
)
from search.console.app import check_format
from search.errors import EXIT_GATE, UsageError


def checkup(
    device: DeviceOption = "android",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    runtime: RuntimeOption = "auto",
    timeout: Annotated[
        float, typer.Option(help="Longest silence, seconds.", rich_help_panel=DEVICE)
    ] = 60.0,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Table to compare the machine with.",
            rich_help_panel=DEVICE,
            autocompletion=complete_table,
        ),
    ] = None,
    tables: Annotated[
        Path, typer.Option(help="Where to look without --table.", rich_help_panel=DEVICE)
    ] = Path("tables"),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the report here too, as JSON.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: QuietOption = False,
    output_format: Annotated[
        str, typer.Option("--format", help="table (markdown) or json.", rich_help_panel=OUTPUT)
    ] = "table",
) -> None:
    """Try all that measuring needs of a phone; exit 1 if something is amiss.

    Any device that has a table is compared with it: how much slower or faster it is now.

    \b
    Examples:
      python -m profiler checkup --device pixel
      python -m profiler checkup --device iphonex -o checkup.json
      python -m profiler checkup --serial 0A1B2C3D -o checkup.json
      python -m profiler checkup --device host
    """
    from device_agents.checkup_report import to_markdown
    from device_agents.registry import find_device
    from profiler.anchors.checkup import check_up_device
    from search.console.output import emit, to_json
    from search.console.progress import make_progress
    from search.files import check_folder, write_text

    check_format(output_format)
    if output_format == "csv":
        raise UsageError("A checkup is no list: csv cannot hold it.", "Use table or json.")
    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    if output is not None:
        check_folder(output.parent, "--output")
    with make_progress(quiet) as progress:
        report = check_up_device(
            target, timeout, runtime=runtime, tables=tables, table=table, progress=progress
        )
    if output is not None:
        write_text(output, to_json(report.to_dict()) + "\n")
    emit(
        output_format,
        table=lambda _: typer.echo(to_markdown(report), nl=False),
        content=report.to_dict,
        rows=tuple,
    )
    if not report.passed:
        raise typer.Exit(EXIT_GATE)
