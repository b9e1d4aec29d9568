"""What carries calls between the hosts of a farm: one narrow protocol, and the one in a process."""

from collections.abc import Mapping
from typing import Protocol

from search.errors import ConnectionLost

# The name of the one service that keeps leases; the others are called by their hosts' names.
REGISTRY = "registry"


class Service(Protocol):
    """What answers calls at one place."""

    def answer(self, request: bytes) -> bytes:
        """The reply to one request; errors are replies too. Called by several threads."""
        ...


class FarmTransport(Protocol):
    """Carries one request to a service and its reply back; used by several threads at once.

    A request may arrive without its reply coming back: callers send only what may be sent twice.
    """

    def ask(self, service: str, request: bytes, timeout_s: float) -> bytes:
        """The reply.

        Args:
            service: `registry`, or `host-NAME`.
            request: As `device_agents.farm_hosts.messages` writes them.
            timeout_s: How long the reply may take.

        Raises:
            Unreachable: The service cannot be reached now, or did not reply in time.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def host_service(host: str) -> str:
    """The name of a host's service."""
    return f"host-{host}"


class InProcess:
    """Calls to services of this process: for tests, and for how others must behave."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services

    def ask(self, service: str, request: bytes, timeout_s: float) -> bytes:  # noqa: ARG002
        if service not in self._services:
            raise unreachable(service)
        return self._services[service].answer(request)

    def close(self) -> None:
        """Nothing is held."""


class Unreachable(ConnectionLost):
    """A service does not answer now; it may do so later, with all that it keeps."""


class Silent(Unreachable):
    """A service was asked, and did not reply in time."""


def unreachable(
    service: str, why: str = "nothing answers", kind: type[Unreachable] = Unreachable
) -> Unreachable:
    """The error where a service cannot be reached."""
    what = "The farm's registry" if service == REGISTRY else f"The farm's {service}"
    return kind(
        f"{what} cannot be reached: {why}.",
        "Look whether farm start runs on its first host; what was kept is not measured twice.",
    )
