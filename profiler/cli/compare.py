"""The verb `compare`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from search.console.app import check_format
from search.errors import EXIT_GATE


def compare(
    networks: Annotated[list[str], typer.Argument(help="Architecture files, published names.")],
    table: Annotated[
        list[Path] | None, typer.Option(help="Table to predict by (repeatable).")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Device to measure on (repeatable).")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="fp32 or int8, on devices (repeatable).")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="xnnpack or onnxruntime.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    affinity: Annotated[str, typer.Option(help="auto, none, 0-3,6 or mask:f0.")] = "auto",
    runner: Annotated[str, typer.Option(help="auto, native or python.")] = "auto",
    fast: Annotated[bool, typer.Option("--fast", help="Fewer passes.")] = False,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="More passes.")] = False,
    tables: Annotated[Path, typer.Option(help="Where to look without --table.")] = Path("tables"),
    top: Annotated[int, typer.Option(help="Operators shown a pair.", min=0)] = 8,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Simulated beside measured.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Longest silence of the runner, seconds.")] = 120.0,
    jobs: Annotated[int | None, typer.Option(help="Parallel builds.", min=1)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    form: Annotated[
        str, typer.Option("--format", help="table, json or csv (on standard output).")
    ] = "table",
) -> None:
    """Compare networks on devices (measured) and by tables (predicted)."""
    from profiler.cli.compare_output import show_comparison
    from profiler.comparison.sources import collect
    from profiler.measuring.agents import TimingOptions
    from profiler.planning.options import choose_effort
    from search.console.progress import make_progress

    check_format(form)
    measuring = TimingOptions(
        effort=choose_effort(fast, rigorous),
        backend=backend,
        threads=threads,
        affinity=affinity,
        runner=runner,
        timeout_s=timeout,
        workers=jobs,
    )
    with make_progress(quiet) as progress:
        comparison = collect(
            networks,
            tables=table or (),
            root=tables,
            devices=device or (),
            dtypes=dtype or (),
            measuring=measuring,
            allow_simulated=allow_simulated,
            progress=progress,
        )
    show_comparison(comparison, form, top)
    if not comparison.stable:
        raise typer.Exit(EXIT_GATE)
