"""The command line: parse, call, print. No logic of its own."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from search.console.app import run_app
from search.errors import EXIT_GATE

app = typer.Typer(
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Turn a network into a file for one runtime, and prove it on a device.",
)


@app.command()
def deploy(
    net: Annotated[str, typer.Argument(help="Architecture file, or a published name.")],
    device: Annotated[str | None, typer.Option(help="Device to prove it on.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Export only: pte, onnx or mlpackage.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32, int8, fp16 or w8.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="xnnpack, onnxruntime, coreml, coreml-delegate.")
    ] = None,
    deployment_target: Annotated[
        str | None, typer.Option(help="Core ML: oldest system, iOS16 to iOS26.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="State dict (.pt) of the network.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Real images: digits, a folder or an archive.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Test images at most (all with weights, else 64).", min=1)
    ] = None,
    calibration: Annotated[int, typer.Option(help="Images int8 is calibrated on.", min=1)] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the images' choice and split.", min=0)] = 0,
    table: Annotated[Path | None, typer.Option(help="Table to predict by.")] = None,
    tables: Annotated[Path, typer.Option(help="Where to look without --table.")] = Path("tables"),
    target_ms: Annotated[
        float | None, typer.Option(help="Latency to be met, milliseconds.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    affinity: Annotated[str, typer.Option(help="auto, none, 0-3,6 or mask:f0.")] = "auto",
    runner: Annotated[str, typer.Option(help="auto, native or python.")] = "auto",
    fast: Annotated[bool, typer.Option("--fast", help="Fewer passes.")] = False,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="More passes.")] = False,
    timeout: Annotated[float, typer.Option(help="Longest silence of the runner, seconds.")] = 120.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    form: Annotated[
        str, typer.Option("--output-format", help="table, json or csv (on standard output).")
    ] = "table",
) -> None:
    """Export NET, run it on the device, check its numbers, time it (exit 1 if it fails)."""
    from deploy.verification.device_side import DeviceOptions
    from deploy.verification.job import DeployOptions, run_job
    from deploy.verification.output import check_form, show_result, write_folder

    check_form(form)
    target = None
    if device is not None:
        target = DeviceOptions(
            device=device,
            backend=backend,
            threads=threads,
            affinity=affinity,
            runner=runner,
            timeout_s=timeout,
            preset=preset(fast, rigorous),
        )
    result = run_job(
        DeployOptions(
            net=net,
            target=target,
            file_format=format_,
            output=output,
            dtype=dtype,
            backend=backend,
            deployment_target=deployment_target,
            weights=weights,
            data=data,
            images=images,
            calibration=calibration,
            seed=seed,
            table=table,
            tables=tables,
            target_us=None if target_ms is None else target_ms * 1e3,
            quiet=quiet,
        )
    )
    if output is not None:
        write_folder(result, output)
    show_result(result, form)
    if result.problems:
        raise typer.Exit(EXIT_GATE)


def preset(fast: bool, rigorous: bool) -> str:
    """The name of the effort that was asked for.

    Raises:
        UsageError: Both were.
    """
    from search.errors import UsageError

    if fast and rigorous:
        raise UsageError("--fast and --rigorous exclude each other.")
    return "fast" if fast else "rigorous" if rigorous else "default"


def main() -> NoReturn:
    """Run; every error becomes a sentence and an exit code."""
    run_app(app, "deploy", "Interrupted. Files that were built are kept; the same command goes on.")
