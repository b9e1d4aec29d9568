"""`python -m search plot` and `watch`: a run as a page, written or served."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import OUTPUT, PROBLEM, examples

PLOT_EXAMPLES = examples(
    "python -m search plot net.run",
    "python -m search plot net.run/retrain/trace.jsonl -o retrain.html",
)
WATCH_EXAMPLES = examples(
    "python -m search watch net.run",
    "python -m search watch net.run --port 8080 --target-ms 0.07",
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


def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a run that has begun.")],
    port: Annotated[
        int,
        typer.Option(
            help="Of this machine; a free one if 0.", min=0, max=65535, rich_help_panel=OUTPUT
        ),
    ] = 0,
    target_ms: Annotated[
        float | None,
        typer.Option(
            help="Latency to be met, drawn as a line; the run's own by default.",
            min=0,
            rich_help_panel=PROBLEM,
        ),
    ] = None,
    every_s: Annotated[
        float,
        typer.Option("--every", help="Seconds between two pages.", min=1, rich_help_panel=OUTPUT),
    ] = 5.0,
) -> None:
    """Serve a run's page to a browser on this machine while it goes on (Ctrl-C ends).

    Curves of the search and of the training, candidates, and the network found.
    """
    from search.pipeline.live.serve import serve

    with serve(run, port, target_ms=target_ms, every_s=every_s) as server:
        typer.echo(f"http://127.0.0.1:{server.server_port}/ shows {run}; Ctrl-C ends")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
