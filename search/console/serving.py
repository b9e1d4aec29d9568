"""Pages that programs of this machine alone can read: a small server on the loopback address."""

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

from search.errors import UsageError

_LOOPBACK = "127.0.0.1"

# The type of a page's content, and what makes it when it is asked for.
Page = tuple[str, Callable[[], str]]


def serve_pages(
    pages: Mapping[str, Page], port: int, headers: Mapping[str, str] = MappingProxyType({})
) -> ThreadingHTTPServer:
    """A server of pages by their paths, not yet running; it reads requests and changes nothing.

    It answers only what is asked by this machine's own names: a page from elsewhere whose name was
    made to lead here gets nothing.

    Args:
        pages: By path, such as "/".
        port: 0 takes a free one; see `server_port`.
        headers: Sent with every page.

    Raises:
        UsageError: The port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            names = [f"{name}:{server.server_port}" for name in (_LOOPBACK, "localhost")]
            if self.headers.get("Host") not in names:
                self.send_error(403)
                return
            kind, content = pages.get(self.path, ("", str))
            if not kind:
                self.send_error(404)
                return
            body = content().encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Length", str(len(body)))
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody wants a line for each page."""

    try:
        server = ThreadingHTTPServer((_LOOPBACK, port), Handler)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used: {error.strerror}.", "Leave --port out for a free one."
        ) from error
    return server
