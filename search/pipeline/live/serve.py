"""The page of a run as it grows, served to browsers of this machine alone."""

from http.server import ThreadingHTTPServer
from pathlib import Path

from search.console.serving import serve_pages
from search.errors import UsageError
from search.pipeline.live.page import RunState, read_run, run_page
from search.training.run.plot import trace_csv


def serve(
    run: Path, port: int, *, target_ms: float | None = None, every_s: float = 5.0
) -> ThreadingHTTPServer:
    """A server of a run's page on this machine's own address, not yet running.

    The run is read anew for each page, so that a page is as young as its loading; what
    cannot be read for a moment is left out of the page, which loads itself again.

    Args:
        run: The folder of a run, or a trace.
        port: 0 takes a free one; see `server_port`.
        target_ms: Latency to be met, drawn as a line; the run's own where None.
        every_s: Seconds after which the page loads itself again.

    Raises:
        UsageError: There is no run, or the port is in use.
    """
    read_run(run)

    def page() -> str:
        return run_page(_now(run), str(run), target_ms=target_ms, refresh_s=every_s)

    return serve_pages(
        {
            "/": ("text/html", page),
            "/trace.csv": ("text/csv", lambda: trace_csv(_now(run).search)),
            "/retrain.csv": ("text/csv", lambda: trace_csv(_now(run).retraining)),
        },
        port,
    )


def _now(run: Path) -> RunState:
    try:
        return read_run(run)
    except UsageError:  # the file is being begun anew
        return RunState()
