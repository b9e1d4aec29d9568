"""The page of a farm, served to browsers of this machine alone."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer

from profiler.cli.farm.page import content_policy, farm_page
from profiler.cli.farm.status import Overview, SeesFarm, overview
from search.console.output import to_json
from search.console.serving import serve_pages
from search.errors import KitError

_EMPTY: Overview = {"hosts": [], "phones": [], "waiting": [], "campaigns": []}


class FarmView:
    """The newest state of a farm that could be had; asked for at most once in a while.

    Args:
        registry: What is asked.
        every_s: A state younger than this is shown again.
        clock: Seconds.
    """

    def __init__(
        self, registry: SeesFarm, every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_s: float | None = None
        self._seen: Overview = _EMPTY
        self._when = datetime.now(UTC)
        self._problem = ""

    def now(self) -> tuple[Overview, datetime, str]:
        """The state, when it was so, and why nothing newer is known (empty: nothing is wrong)."""
        with self._lock:
            if self._asked_s is None or self._clock() - self._asked_s >= self._every_s:
                try:
                    self._seen, self._problem = overview(self._registry), ""
                    self._when = datetime.now(UTC)
                except KitError as error:
                    self._problem = f"{error.message} What stands here is older."
                self._asked_s = self._clock()
            return self._seen, self._when, self._problem


def serve(
    registry: SeesFarm, address: str, port: int, *, every_s: float = 5.0
) -> ThreadingHTTPServer:
    """A server of a farm's page on this machine's own address, not yet running.

    Args:
        registry: What is asked; nothing in the farm is changed.
        address: The farm's, for the heading.
        port: 0 takes a free one; see `server_port`.
        every_s: Seconds between two looks.

    Raises:
        KitError: The farm cannot be seen.
        UsageError: The port is in use.
    """
    overview(registry)
    view = FarmView(registry, every_s / 2)

    def page() -> str:
        seen, when, problem = view.now()
        return farm_page(seen, address, now=when.astimezone(), every_s=every_s, problem=problem)

    def as_json() -> str:
        seen, when, problem = view.now()
        return to_json({**seen, "as_of": when.isoformat(timespec="seconds"), "problem": problem})

    return serve_pages(
        {"/": ("text/html", page), "/farm.json": ("application/json", as_json)},
        port,
        {"Content-Security-Policy": content_policy(), "Referrer-Policy": "no-referrer"},
    )
