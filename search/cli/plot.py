"""`python -m search plot`: the trace of a run as a page."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import OUTPUT, PROBLEM, examples

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
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the numbers to this CSV file instead.", rich_help_panel=OUTPUT),
    ] = None,
    target_ms: Annotated[
        float | None,
        typer.Option(
            help="Latency to be met, drawn as a line; the run's own by default.",
            min=0,
            rich_help_panel=PROBLEM,
        ),
    ] = None,
) -> None:
    """Draw a run: curves over the epochs, candidates, and the network found."""
    from search.files import check_file, write_text
    from search.pipeline.live.page import read_run, run_page
    from search.training.run.plot import trace_csv

    trace = run / "trace.jsonl" if run.is_dir() else run
    state = read_run(run)
    if csv is not None:
        check_file(csv, "--csv", (".csv",))
        write_text(csv, trace_csv(state.search))
        typer.echo(f"written to {csv}")
        return
    page = output or trace.with_suffix(".html")
    check_file(page, "--output", (".html",))
    write_text(page, run_page(state, trace.parent.name, target_ms=target_ms))
    typer.echo(f"written to {page}")
