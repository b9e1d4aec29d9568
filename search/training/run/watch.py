"""The trace of a run as it grows, served to browsers of this machine alone."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from search.errors import UsageError
from search.training.run.plot import plot_page, trace_csv
from search.training.run.trace import TraceLine, read_trace

TRACE = "trace.jsonl"
_LOOPBACK = "127.0.0.1"


def trace_of(run: Path) -> Path:
    """The trace that a run is writing now: that of its retraining once it has begun.

    Raises:
        UsageError: There is none (yet).
    """
    if run.is_file():
        return run
    for path in (run / "retrain" / TRACE, run / TRACE):
        if path.is_file():
            return path
    raise UsageError(
        f"{run} holds no trace.",
        "Name the folder of a run that has begun (<output>.run of a search).",
    )


def serve(
    run: Path, port: int, *, target_ms: float | None = None, every_s: float = 5.0
) -> ThreadingHTTPServer:
    """A server of a run's page on this machine's own address, not yet running.

    The trace is read anew for each page, so that a page is as young as its loading; what
    cannot be read for a moment is said on the page, which loads itself again.

    Args:
        run: The folder of a run, or a trace.
        port: 0 takes a free one; see `server_port`.
        target_ms: Latency to be met, drawn as a line.
        every_s: Seconds after which the page loads itself again.

    Raises:
        UsageError: No trace, or the port is in use.
    """
    read_trace(trace_of(run))

    def page() -> str:
        trace, lines = _now(run)
        return plot_page(lines, str(trace), target_ms=target_ms, refresh_s=every_s)

    answers: dict[str, tuple[str, Callable[[], str]]] = {
        "/": ("text/html", page),
        "/trace.csv": ("text/csv", lambda: trace_csv(_now(run)[1])),
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


def _now(run: Path) -> tuple[Path, tuple[TraceLine, ...]]:
    try:
        trace = trace_of(run)
        return trace, read_trace(trace)
    except UsageError:  # the file is being begun anew
        return run, ()
