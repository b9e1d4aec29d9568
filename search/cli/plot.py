"""`python -m search plot`: the trace of a run as a page."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import OUTPUT, examples

EXAMPLES = examples(
    "python -m search plot net.run",
    "python -m search plot net.run/retrain/trace.jsonl -o retrain.html",
)


def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a run (or its trace.jsonl).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="HTML file; <run>/trace.html by default.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Draw loss, accuracy, expected latency, entropy and temperature over the epochs."""
    from search.files import check_file
    from search.training.run.plot import write_plot
    from search.training.run.trace import read_trace

    trace = run / "trace.jsonl" if run.is_dir() else run
    lines = read_trace(trace)
    page = output or trace.with_suffix(".html")
    check_file(page, "--output", (".html",))
    write_plot(lines, page, trace.parent.name)
    typer.echo(f"written to {page}")
