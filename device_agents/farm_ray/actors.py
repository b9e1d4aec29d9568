"""The two kinds of Ray actors of a farm: the registry, and the agent of a host.

They take bytes and give bytes: Ray carries them, and decides nothing.
"""

import logging
import threading
from pathlib import Path
from typing import Any

from device_agents.farm.journal import FarmJournal
from device_agents.farm.model import Limits
from device_agents.farm.registry import Registry
from device_agents.farm_hosts.admission import read_secret
from device_agents.farm_hosts.clients import RegistryClient
from device_agents.farm_hosts.host import METHODS, HostAgent
from device_agents.farm_hosts.service import ObjectService
from device_agents.farm_hosts.survey import AndroidPhones, Shelf, Survey
from device_agents.farm_hosts.transport import REGISTRY, Silent, host_service, unreachable
from device_agents.farm_ray.processes import host_resource
from search.cache import cache_root
from search.errors import KitError

NAMESPACE = "fbnet-kit-farm"
REGISTRY_METHODS = frozenset(
    (
        *("see", "drain", "quarantine", "acquire", "confirm", "way", "renew", "release", "queue"),
        *("claim", "submit", "fail", "submit_probe", "number_of", "members", "forget"),
        "note_stage",
        *("phones", "hosts", "waiting", "campaigns"),
    )
)
_WATCH_S = 5.0
_THREADS = 32


class RegistryActor:
    """The registry; Ray starts it again where it dies, and its journal has everything."""

    def __init__(self, journal: str, secret: str, ttl_s: float) -> None:
        Path(journal).parent.mkdir(parents=True, exist_ok=True)
        registry = Registry(FarmJournal(journal, any_thread=True), Limits(ttl_s=ttl_s))
        self._service = ObjectService(
            registry, REGISTRY_METHODS, read_secret(Path(secret)), one_at_a_time=True
        )

    def answer(self, request: bytes) -> bytes:
        """The reply to one request."""
        return self._service.answer(request)


class HostActor:
    """The agent of one host; a thread of it reports what the host sees."""

    def __init__(self, host: str, secret: str, adb_server: str | None, connect: list[str]) -> None:
        content = read_secret(Path(secret))
        shelf = Shelf(host=host, adb_server=adb_server, connect=tuple(connect))
        self._agent = HostAgent(
            host,
            RegistryClient(ActorTransport(), content),
            Survey(shelf),
            AndroidPhones(shelf),
            cache_root() / "farm" / "hosts" / host,
        )
        self._service = ObjectService(self._agent, METHODS, content, one_at_a_time=False)
        threading.Thread(target=self._watch, name="farm watch", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._agent.watch()
            except KitError as error:
                logging.getLogger(__name__).warning("%s", error)
            except Exception:  # one strange phone must not end the watch over the others
                logging.getLogger(__name__).exception("the watch over the phones failed")
            pause.wait(_WATCH_S)

    def answer(self, request: bytes) -> bytes:
        """The reply to one request."""
        return self._service.answer(request)

    def leave(self) -> None:
        """Close every phone."""
        self._agent.leave()


class ActorTransport:
    """Calls to actors from a process that is connected to Ray."""

    def ask(self, service: str, request: bytes, timeout_s: float) -> bytes:
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        try:
            actor = ray.get_actor(service, namespace=NAMESPACE)
            reply: bytes = ray.get(actor.answer.remote(request), timeout=timeout_s)
        except ValueError as error:
            raise unreachable(service, "it is not there, or not yet again") from error
        except GetTimeoutError as error:
            raise unreachable(service, f"no answer within {timeout_s:.0f} s", Silent) from error
        except (RayError, ConnectionError, OSError, RuntimeError) as error:
            raise unreachable(service, f"{type(error).__name__}: {error}"[:200]) from error
        return reply

    def close(self) -> None:
        """The process holds the connection."""


def start_registry(journal: Path, secret: Path, ttl_s: float) -> Any:
    """The registry's actor; the one that runs already is taken."""
    import ray

    actor = ray.remote(RegistryActor).options(
        name=REGISTRY,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=_THREADS,
        num_cpus=0,
        resources={"farm_registry": 1},
    )
    return actor.remote(str(journal), str(secret), ttl_s)


def start_host(shelf: Shelf, secret: Path) -> Any:
    """The actor of a host, on that host's node."""
    import ray

    actor = ray.remote(HostActor).options(
        name=host_service(shelf.host),
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_concurrency=_THREADS,
        num_cpus=0,
        resources={host_resource(shelf.host): 1},
    )
    return actor.remote(shelf.host, str(secret), shelf.adb_server, list(shelf.connect))
