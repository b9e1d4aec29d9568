"""The verb `checkup`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.devices import ConnectOption, DeviceOption, SerialOption, ServerOption
from search.console.app import check_format
from search.errors import EXIT_GATE, UsageError


def checkup(
    device: DeviceOption = "android",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    timeout: Annotated[float, typer.Option(help="Longest silence, seconds.")] = 60.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report here too, as JSON.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table (markdown) or json.")] = "table",
) -> None:
    """Try all that measuring needs of a phone; exit 1 if something is amiss."""
    from device_agents.android.checkup import check_up, to_markdown
    from device_agents.registry import find_device
    from search.console.output import to_json
    from search.files import write_text

    check_format(form)
    if form == "csv":
        raise UsageError("A checkup is no list: csv cannot hold it.", "Use table or json.")
    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    report = check_up(target, timeout)
    text = to_json(report.to_dict())
    if output is not None:
        write_text(output, text + "\n")
    typer.echo(text if form == "json" else to_markdown(report), nl=form == "json")
    if not report.passed:
        raise typer.Exit(EXIT_GATE)
