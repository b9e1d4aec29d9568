"""The command line of deploy: options, one call, the printed result."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from search.console.app import make_app, run_app
from search.console.help import PanelCommand, VersionOption
from search.console.suggestions import one_of
from search.console.suggestions import tables as complete_table
from search.errors import EXIT_GATE

_NETWORK = "Network"
_DEVICE = "Device"
_EFFORT = "Effort"
_TARGET = "Prediction and target"
_OUTPUT = "Output"


@one_of
def _complete_device() -> tuple[str, ...]:
    from deploy.verification.device_side import load_device_verifier

    return load_device_verifier().names()


app = make_app()


@app.command(cls=PanelCommand)
def deploy(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET",
            help="Architecture file, published name, or a model of your own: .pt2, .onnx, .pte, "
            "or module.py:factory (that file is executed).",
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option(
            help="Device to verify it on.",
            rich_help_panel=_DEVICE,
            autocompletion=_complete_device,
        ),
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option(help="Which of several Android devices.", rich_help_panel=_DEVICE),
    ] = None,
    adb_server: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of the adb server (default 127.0.0.1:5037).", rich_help_panel=_DEVICE
        ),
    ] = None,
    connect: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a device's own adb daemon: no server needed.",
            rich_help_panel=_DEVICE,
        ),
    ] = None,
    export_format: Annotated[
        str | None,
        typer.Option(
            help="Export only: pte, onnx or mlpackage (also taken by --format).",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the files.", rich_help_panel=_OUTPUT),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Folder to ship: file, labels, preparation, card, samples.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Bundle: names of the outputs, one a line.", rich_help_panel=_OUTPUT),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Bundle: the model's licence, such as MIT.", rich_help_panel=_OUTPUT),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="fp32, int8, fp16 or w8.", rich_help_panel=_NETWORK)
    ] = None,
    sustain: Annotated[
        str | None,
        typer.Option(
            help="Also call it for so long without a pause (2m to 24h).", rich_help_panel=_EFFORT
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Images a call (the network's own, or 1).", rich_help_panel=_NETWORK),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="xnnpack, onnxruntime, coreml, coreml-delegate.", rich_help_panel=_DEVICE
        ),
    ] = None,
    deployment_target: Annotated[
        str | None,
        typer.Option(help="Core ML: oldest system, iOS16 to iOS26.", rich_help_panel=_OUTPUT),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="State dict (.pt) of the network.", rich_help_panel=_NETWORK),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Real images: digits, a folder or an archive.", rich_help_panel=_NETWORK),
    ] = None,
    train_folder: Annotated[
        str | None,
        typer.Option(
            help="Where in --data the training images are, if names do not say it.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    val_folder: Annotated[
        str | None,
        typer.Option(
            help="Where in --data the test images are, if names do not say it.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Own model: name=1x3x224x224 fixes an input's open dimensions (repeatable).",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help="Own model: real inputs by name (.npz).", rich_help_panel=_NETWORK),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            help="Test images at most (all with weights, else 64); own model: random inputs (4).",
            min=1,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    calibration: Annotated[
        int,
        typer.Option(help="Images int8 is calibrated on.", min=1, rich_help_panel=_NETWORK),
    ] = 128,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the images' choice and split.", min=0, rich_help_panel=_NETWORK),
    ] = 0,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Table to predict by: its folder, or words such as latest.",
            rich_help_panel=_TARGET,
            autocompletion=complete_table,
        ),
    ] = None,
    tables: Annotated[
        Path, typer.Option(help="Where to look without --table.", rich_help_panel=_TARGET)
    ] = Path("tables"),
    target_ms: Annotated[
        float | None,
        typer.Option(help="Latency to be met now, milliseconds.", rich_help_panel=_TARGET),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Tell the time of each operator too.", rich_help_panel=_EFFORT
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the runtime.", rich_help_panel=_DEVICE)
    ] = None,
    affinity: Annotated[
        str, typer.Option(help="auto, none, 0-3,6 or mask:f0.", rich_help_panel=_DEVICE)
    ] = "auto",
    runner: Annotated[
        str, typer.Option(help="auto, native or python.", rich_help_panel=_DEVICE)
    ] = "auto",
    runtime: Annotated[
        str,
        typer.Option(
            help="auto, wheels; installed on the host, ndk on a phone.", rich_help_panel=_DEVICE
        ),
    ] = "auto",
    fast: Annotated[
        bool, typer.Option("--fast", help="Fewer passes.", rich_help_panel=_EFFORT)
    ] = False,
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="More passes.", rich_help_panel=_EFFORT)
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout", help="Longest silence of the runner, seconds.", rich_help_panel=_DEVICE
        ),
    ] = 120.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=_OUTPUT)
    ] = False,
    output_format: Annotated[
        str,
        typer.Option(
            "--format", help="table, json or csv (on standard output).", rich_help_panel=_OUTPUT
        ),
    ] = "table",
    older_output_format: Annotated[
        str | None,
        typer.Option("--output-format", help="The older name of --format.", hidden=True),
    ] = None,
    version: VersionOption = False,
) -> None:
    """Export NET, run it on the device, check its outputs, time it (exit 1 if it fails).

    \b
    Examples:
      python -m deploy FBNet-S8 --device pixel --target-ms 20
      python -m deploy model.pt2 --device host --profile
      python -m deploy arch.json --export-format onnx -o deployed
    """
    typed = dict(locals())  # all options by name, before any other local variable
    from deploy.verification.options import DeployOptions, split_formats
    from deploy.verification.output import show_result, write_folder
    from deploy.verification.run import run_deployment
    from search.table.query import find_table

    export_format, output_format = split_formats(export_format, output_format, older_output_format)
    if table is not None:
        typed["table"] = find_table(table, tables)
    options = DeployOptions.of({**typed, "export_format": export_format})
    result = run_deployment(options)
    if output is not None:
        write_folder(result, output)
    if bundle is not None:
        from deploy.bundle.facts import gather_facts
        from deploy.bundle.write import write_bundle

        facts = gather_facts(result, weights=weights, labels=labels, licence=licence)
        write_bundle(facts, bundle)
    show_result(result, output_format)
    if result.problems:
        raise typer.Exit(EXIT_GATE)


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "deploy", "Interrupted. Files that were built are kept; the same command goes on.")
