"""A plan that runs on a phone of this host, in a thread; its records wait to be fetched."""

import contextlib
import threading
from collections.abc import Callable

from device_agents.base import DeviceAgent
from device_agents.farm_hosts.messages import error_reply, read_reply
from device_agents.farm_hosts.phones import RunPart
from device_agents.protocol import Plan, dump_record
from search.errors import DeviceLost, KitError

Said = Callable[[], tuple[str, ...]]


class Running:
    """One run; `stop` ends it, and whoever lost its phone never hears of more records."""

    def __init__(self, agent: DeviceAgent, plan: Plan) -> None:
        self._agent = agent
        self._plan = plan
        self._lines: list[str] = []
        self._error: KitError | None = None
        self._has_ended = False
        self._stops = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="farm run", daemon=True)
        self._thread.start()

    def part(self, start: int, wait_s: float, said: Said) -> RunPart:
        """The records from number `start` on; waits for the first of them, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._lines) > start or self._has_ended, wait_s)
            error = None if self._error is None else _as_words(self._error)
            return RunPart(
                lines=tuple(self._lines[start:]),
                has_ended=self._has_ended,
                error=error,
                said=said(),
            )

    def stop(self) -> None:
        """End the run, and wait until nothing of it is left on the phone."""
        self._stops.set()
        self._thread.join()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._has_ended

    def _work(self) -> None:
        error: KitError | None = None
        try:
            with contextlib.closing(self._agent.run(self._plan)) as records:  # type: ignore[type-var]
                for record in records:
                    if self._stops.is_set():
                        raise DeviceLost("The run was stopped.", "Run again with --resume.")
                    with self._changed:
                        self._lines.append(dump_record(record))
                        self._changed.notify_all()
        except KitError as caught:
            error = caught
        except Exception as caught:
            error = DeviceLost(f"The host's agent failed: {type(caught).__name__}: {caught}"[:500])
        with self._changed:
            self._error, self._has_ended = error, True
            self._changed.notify_all()


def _as_words(error: KitError) -> tuple[str, str, str]:
    try:
        read_reply(error_reply(error))
    except KitError as known:
        return type(known).__name__, known.message, known.remedy
    raise AssertionError("an error's reply raises it")
