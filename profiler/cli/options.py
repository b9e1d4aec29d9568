"""Command-line options that several verbs share, and the panels of their help."""

from pathlib import Path
from typing import Annotated

import typer

from search.console.suggestions import names_or_files, one_of, tables

DEVICE = "Device"
FARM = "Farm of phones"
SPACE = "Space"
EFFORT = "Effort"
BUDGET = "Budget"
OUTPUT = "Output"

# --- names that a shell completes; their modules are imported when it asks


@one_of
def complete_device() -> tuple[str, ...]:
    """Devices that come with the kit."""
    from device_agents.device import device_names

    return device_names()


@names_or_files(".toml")
def complete_space() -> tuple[str, ...]:
    """Search spaces."""
    from search.spaces.registry import known_names

    return known_names()


@one_of
def complete_network() -> tuple[str, ...]:
    """Published networks."""
    from search.zoo import network_names

    return network_names()


# --- tables

complete_table = tables
TABLE_HELP = "A table: its folder, or words such as latest, fbnet-mini, 'fbnet int8 v1'."
TableArgument = Annotated[Path, typer.Argument(help=TABLE_HELP, autocompletion=complete_table)]
TablesArgument = Annotated[
    list[Path], typer.Argument(help="Tables: folders or words.", autocompletion=complete_table)
]

# --- device

DeviceOption = Annotated[
    str,
    typer.Option(
        help="Device name, TOML file, serial, or NAME@SERIAL[,SERIAL].",
        rich_help_panel=DEVICE,
        autocompletion=complete_device,
    ),
]
SerialOption = Annotated[
    str | None,
    typer.Option(
        help="Which of several Android devices; A,B shares the work.", rich_help_panel=DEVICE
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of the adb server (default 127.0.0.1:5037).", rich_help_panel=DEVICE
    ),
]
ConnectOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a device's own adb daemon: no server needed.", rich_help_panel=DEVICE
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Threads of the runtime.", rich_help_panel=DEVICE)
]
AffinityOption = Annotated[
    str, typer.Option(help="auto, none, 0-3,6 or mask:f0.", rich_help_panel=DEVICE)
]
RunnerOption = Annotated[str, typer.Option(help="auto, native or python.", rich_help_panel=DEVICE)]
RuntimeOption = Annotated[
    str,
    typer.Option(
        help="auto, wheels; installed on the host, ndk on a phone.", rich_help_panel=DEVICE
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", help="Longest silence of the runner, seconds.", rich_help_panel=DEVICE
    ),
]

# --- a farm of phones

FarmOption = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a farm: all its free phones.", rich_help_panel=FARM),
]
FarmSecretOption = Annotated[
    Path | None,
    typer.Option(help="File of the farm's secret; default: in the cache.", rich_help_panel=FARM),
]
ModelOption = Annotated[
    str | None, typer.Option(help="Which of the farm's models.", rich_help_panel=FARM)
]
EachModelOption = Annotated[
    bool,
    typer.Option("--each-model", help="A table of each model at once.", rich_help_panel=FARM),
]
LeaveOutOption = Annotated[
    list[str] | None,
    typer.Option(help="A phone's id, or its beginning (repeatable).", rich_help_panel=FARM),
]

# --- effort

FastOption = Annotated[
    bool, typer.Option("--fast", help="A rough table, quickly.", rich_help_panel=EFFORT)
]
RigorousOption = Annotated[
    bool, typer.Option("--rigorous", help="100 exam networks.", rich_help_panel=EFFORT)
]
PrecisionOption = Annotated[
    float | None,
    typer.Option(help="Half-width of the interval asked for, percent.", rich_help_panel=EFFORT),
]

# --- output

TablesOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of tables.", rich_help_panel=OUTPUT)
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Resume an unfinished run.", rich_help_panel=OUTPUT)
]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="Discard an unfinished run.", rich_help_panel=OUTPUT)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OUTPUT)
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format", help="table, json or csv (on standard output).", rich_help_panel=OUTPUT
    ),
]
SimulatedOption = Annotated[
    bool,
    typer.Option("--allow-simulated", help="Simulated beside measured.", rich_help_panel=OUTPUT),
]
