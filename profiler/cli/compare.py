"""The verb `compare`: networks on devices and by tables."""

from pathlib import Path
from typing import Annotated

import typer

from profiler.cli.options import (
    DEVICE,
    EFFORT,
    AffinityOption,
    ConnectOption,
    FormatOption,
    QuietOption,
    RunnerOption,
    RuntimeOption,
    SerialOption,
    ServerOption,
    SimulatedOption,
    ThreadsOption,
    TimeoutOption,
    complete_device,
    complete_network,
    complete_table,
)
from search.console.app import check_format
from search.errors import EXIT_GATE

_TABLES = "Tables"


def compare(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Architecture files, published names, models of your own (.pt2, .onnx, .pte, "
            "module.py:factory).",
            autocompletion=complete_network,
        ),
    ],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            help="Table to predict by (repeatable).",
            rich_help_panel=_TABLES,
            autocompletion=complete_table,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="Device to measure on (repeatable).",
            rich_help_panel=DEVICE,
            autocompletion=complete_device,
        ),
    ] = None,
    serial: SerialOption = None,
    adb_server: ServerOption = None,
    connect: ConnectOption = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="fp32 or int8, on devices (repeatable).", rich_help_panel=DEVICE),
    ] = None,
    sustain: Annotated[
        str | None,
        typer.Option(
            help="On devices: also call all in turn for so long without a pause (2m to 24h).",
            rich_help_panel=EFFORT,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Images a call, on devices.", rich_help_panel=DEVICE),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="xnnpack or onnxruntime.", rich_help_panel=DEVICE)
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Own models: name=1x3x224x224 fixes open dimensions (repeatable).",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help="Own models: real inputs by name (.npz).", rich_help_panel=DEVICE),
    ] = None,
    threads: ThreadsOption = None,
    affinity: AffinityOption = "auto",
    runner: RunnerOption = "auto",
    runtime: RuntimeOption = "auto",
    fast: Annotated[
        bool, typer.Option("--fast", help="Fewer passes.", rich_help_panel=EFFORT)
    ] = False,
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="More passes.", rich_help_panel=EFFORT)
    ] = False,
    tables: Annotated[
        Path, typer.Option(help="Where to look without --table.", rich_help_panel=_TABLES)
    ] = Path("tables"),
    top: Annotated[int, typer.Option(help="Operators shown a pair.", min=0)] = 8,
    allow_simulated: SimulatedOption = False,
    timeout_s: TimeoutOption = 120.0,
    jobs: Annotated[
        int | None, typer.Option(help="Parallel builds.", min=1, rich_help_panel=EFFORT)
    ] = None,
    quiet: QuietOption = False,
    output_format: FormatOption = "table",
) -> None:
    """Compare networks on devices (measured) and by tables (predicted).

    \b
    Examples:
      python -m profiler compare FBNet-S8 FBNet-iPhoneX --device pixel
      python -m profiler compare arch.json FBNet-A --table tables/host/fbnet-v1
      python -m profiler compare mine.pt2 FBNet-C --device host
    """
    from deploy.models.prepare import ModelOptions
    from deploy.models.tensors import parse_shapes
    from deploy.verification.sustained import sustained_seconds
    from device_agents.registry import find_devices
    from profiler.comparison.output import show_comparison
    from profiler.comparison.sources import collect_sources
    from profiler.measuring.agents import TimingOptions
    from profiler.planning.options import choose_effort
    from search.console.progress import make_progress

    check_format(output_format)
    timing = TimingOptions(
        effort=choose_effort(fast, rigorous),
        backend=backend,
        threads=threads,
        affinity=affinity,
        runner=runner,
        runtime=runtime,
        timeout_s=timeout_s,
        workers=jobs,
    )
    chosen = find_devices(device or (), serial=serial, adb_server=adb_server, connect=connect)
    with make_progress(quiet) as progress:
        comparison = collect_sources(
            networks,
            tables=table or (),
            root=tables,
            devices=chosen,
            dtypes=dtype or (),
            measuring=timing,
            allow_simulated=allow_simulated,
            progress=progress,
            options=ModelOptions(shapes=parse_shapes(shape or ()), inputs=inputs),
            batch=batch,
            sustain_s=None if sustain is None else sustained_seconds(sustain),
        )
    show_comparison(comparison, output_format, top)
    if not comparison.stable:
        raise typer.Exit(EXIT_GATE)
