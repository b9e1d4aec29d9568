"""`python -m search watch`: the trace of a run as it grows, in a browser."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import OUTPUT, PROBLEM, examples

EXAMPLES = examples(
    "python -m search watch net.run",
    "python -m search watch net.run --port 8080 --target-ms 0.07",
)


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
