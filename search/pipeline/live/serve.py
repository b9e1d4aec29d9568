"""The page of a run as it grows, served to browsers of this machine alone."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from search.errors import UsageError
from search.pipeline.live.page import RunState, read_run, run_page
from search.training.run.plot import trace_csv

_LOOPBACK = "127.0.0.1"


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

    answers: dict[str, tuple[str, Callable[[], str]]] = {
        "/": ("text/html", page),
        "/trace.csv": ("text/csv", lambda: trace_csv(_now(run).search)),
        "/retrain.csv": ("text/csv", lambda: trace_csv(_now(run).retraining)),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = answers.get(self.path, ("", str))
            if not kind:
                self.send_error(404)
                return
            body = content().encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody wants a line for each page."""

    try:
        return ThreadingHTTPServer((_LOOPBACK, port), Handler)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used: {error.strerror}.", "Leave --port out for a free one."
        ) from error


def _now(run: Path) -> RunState:
    try:
        return read_run(run)
    except UsageError:  # the file is being begun anew
        return RunState()
