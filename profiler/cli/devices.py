"""`devices`: what the kit knows, what is attached, and what the kit left there."""

import shlex
from typing import Annotated, Any

import typer

from search.console.app import check_format

app = typer.Typer(help="List devices; remove the kit's files from a phone.")

Form = Annotated[str, typer.Option("--format", help="table, json or csv (on standard output).")]
DeviceOption = Annotated[
    str, typer.Option(help="Device name, TOML file, serial, or NAME@SERIAL[,SERIAL].")
]
SerialOption = Annotated[
    str | None, typer.Option(help="Which of several Android devices; A,B shares the work.")
]
ServerOption = Annotated[
    str | None, typer.Option(help="HOST:PORT of the adb server (default 127.0.0.1:5037).")
]
ConnectOption = Annotated[
    str | None, typer.Option(help="HOST:PORT of a device's own adb daemon: no server needed.")
]


@app.callback(invoke_without_command=True)
def devices(
    context: typer.Context,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    form: Form = "table",
) -> None:
    """List the devices that the kit knows, and the phones that are attached."""
    if context.invoked_subcommand is not None:
        return
    from device_agents.adb.address import AdbAddress
    from device_agents.adb.discovery import list_devices, matches
    from device_agents.device import device_names, load_device
    from search.console.output import to_csv, to_json

    check_format(form)
    options = {"adb_server": adb_server, "connect": connect}
    seen, notes = list_devices(
        AdbAddress.of({name: text for name, text in options.items() if text})
    )
    known = [load_device(name) for name in device_names()]
    phones = [device for device in known if device.platform == "android" and device.match]
    attached = [
        {
            "name": next((device.name for device in phones if matches(device, one)), "android"),
            "platform": "android",
            "serial": one.serial,
            "state": one.state,
            "model": one.model,
            "way": one.connection,
            "advice": one.advice or None,
        }
        for one in seen
    ]
    if form == "json":
        typer.echo(to_json([*(device.model_dump() for device in known), *attached]))
        return
    rows: list[dict[str, Any]] = [
        {"name": d.name, "platform": d.platform, "backend": d.backend, "title": d.title}
        for d in known
    ]
    if form == "csv":
        columns = dict.fromkeys([*rows[0], "serial", "state", "model", "way", "advice"])
        typer.echo(to_csv([{**columns, **row} for row in [*rows, *attached]]), nl=False)
        return
    widths = {name: max(len(str(row[name])) for row in rows) for name in rows[0]}
    for row in rows:
        cells = [str(value).ljust(widths[name]) for name, value in row.items()]
        typer.echo("  ".join(cells).rstrip())
    _show_attached(attached, notes)


def _show_attached(attached: list[dict[str, Any]], notes: list[str]) -> None:
    from device_agents.adb.shell import printable

    typer.echo("")
    for note in notes:
        typer.echo(f"Android: {note}")
    if not attached and not notes:
        typer.echo("Android: nothing is attached (is USB debugging on?)")
    for one in attached:
        line = f"{printable(one['serial'])}  {one['state']}  {one['model'] or '?'}  ({one['way']})"
        advice = f"  {one['advice']}" if one["advice"] else _words_for(one)
        typer.echo(line + advice)


def _words_for(one: dict[str, Any]) -> str:
    """The options that name this device and no other."""
    way = "--connect" if one["way"].startswith("TCP ") else "--serial"
    return f"  --device {one['name']} {way} {shlex.quote(one['serial'])}"


@app.command()
def clean(
    device: DeviceOption = "android",
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is there.")] = False,
) -> None:
    """Remove the kit's folder from an Android device, and say what it held."""
    from device_agents.android.cleanup import open_file_stores
    from device_agents.registry import find_device

    target = find_device(device, serial=serial, adb_server=adb_server, connect=connect)
    with open_file_stores(target) as depots:
        for label, depot in depots:
            held = depot.contents()
            if held.bytes is None and not held.files:
                typer.echo(f"{label}: holds nothing of the kit")
                continue
            size = "?" if held.bytes is None else f"{held.bytes / 2**20:.1f}"
            done = "would be removed" if dry_run else "removed"
            if not dry_run:
                depot.clean()
            typer.echo(f"{label}: {held.files} file(s), {size} MiB {done}")
