"""The verbs `devices` and `devices clean`."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.cli.options import (
    ConnectOption,
    DeviceOption,
    FormatOption,
    SerialOption,
    ServerOption,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_agents.adb.detected import DetectedDevice
    from device_agents.device import Device

Row = dict[str, Any]


def devices(
    command: typer.Context,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    output_format: FormatOption = "table",
) -> None:
    """List known devices and attached phones; `clean` removes the kit's files from a phone.

    \b
    Examples:
      python -m profiler devices
      python -m profiler devices --connect 192.168.0.7:5555 --format json
    """
    if command.invoked_subcommand is not None:
        return
    from device_agents.adb.address import AdbAddress
    from device_agents.adb.detected import one_connection_each
    from device_agents.adb.discovery import list_devices
    from device_agents.adb.shell import printable
    from device_agents.device import device_names, load_device
    from search.console.app import check_format
    from search.console.output import emit

    check_format(output_format)
    options = {"adb_server": adb_server, "connect": connect}
    detected, notes = list_devices(
        AdbAddress.of({name: text for name, text in options.items() if text})
    )
    known = [load_device(name) for name in device_names()]
    phones = one_connection_each(detected)
    same = {name: printable(phone.serial) for phone in phones for name in phone.others}
    attached = [_attached_row(device, known, same.get(device.serial)) for device in detected]
    rows: list[Row] = [
        {"name": d.name, "platform": d.platform, "backend": d.backend, "title": d.title}
        for d in known
    ]
    columns = dict.fromkeys([*rows[0], "serial", "state", "reason", "model", "way", "advice"])
    emit(
        output_format,
        table=lambda _: _print_devices(rows, attached, notes),
        content=lambda: [*(device.model_dump() for device in known), *attached],
        rows=lambda: [{**columns, **row} for row in [*rows, *attached]],
    )


def _attached_row(device: "DetectedDevice", known: "Sequence[Device]", same: str | None) -> Row:
    """One connection as a row; `same` is a better one to the same phone."""
    from device_agents.adb.discovery import matches

    phones = [d for d in known if d.platform == "android" and d.match]
    return {
        "name": next((phone.name for phone in phones if matches(phone, device)), "android"),
        "platform": "android",
        "serial": device.serial,
        "state": device.state,
        "reason": device.reason or None,
        "model": device.model,
        "way": device.connection,
        "advice": f"the same phone as {same}" if same else device.advice or None,
    }


def _print_devices(rows: list[Row], attached: list[Row], notes: "Sequence[str]") -> None:
    widths = {name: max(len(str(row[name])) for row in rows) for name in rows[0]}
    for row in rows:
        cells = [str(value).ljust(widths[name]) for name, value in row.items()]
        typer.echo("  ".join(cells).rstrip())
    typer.echo("")
    for note in notes:
        typer.echo(f"Android: {note}")
    if not attached and not notes:
        typer.echo("Android: nothing is attached (is USB debugging on?)")
    for row in attached:
        typer.echo(_attached_line(row))


def _attached_line(row: Row) -> str:
    from device_agents.adb.shell import printable

    state = f"{row['state']}: {row['reason']}" if row["reason"] else row["state"]
    line = f"{printable(row['serial'])}  {state}  {row['model'] or '?'}  ({row['way']})"
    return f"{line}  {row['advice'] or _options_for(row)}"


def _options_for(row: Row) -> str:
    """The options that name this device and no other."""
    option = "--connect" if row["way"].startswith("TCP ") else "--serial"
    return f"--device {row['name']} {option} {shlex.quote(row['serial'])}"


def clean(
    device: DeviceOption = "android",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is there.")] = False,
) -> None:
    """Remove the kit's folder from an Android device, and say what it held.

    \b
    Examples:
      python -m profiler devices clean --device pixel --dry-run
      python -m profiler devices clean --serial 0A1B2C3D
    """
    from device_agents.android.cleanup import open_file_stores
    from device_agents.registry import find_device
    from search.console.messages import counted

    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    with open_file_stores(target) as stores:
        for label, store in stores:
            held = store.contents()
            if held.bytes is None and not held.files:
                typer.echo(f"{label}: holds nothing of the kit")
                continue
            size = "?" if held.bytes is None else f"{held.bytes / 2**20:.1f}"
            done = "would be removed" if dry_run else "removed"
            if not dry_run:
                store.clean()
            typer.echo(f"{label}: {counted(held.files, 'file')}, {size} MiB {done}")
