"""Starts or ends one actor of a farm: `python -m device_agents.farm_ray.launch ADDRESS JSON`.

A process of its own, because Ray ends a process whose node it loses.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from device_agents.farm_hosts.admission import read_secret
from device_agents.farm_hosts.clients import RegistryClient
from device_agents.farm_hosts.survey import Shelf
from device_agents.farm_hosts.transport import host_service
from device_agents.farm_ray.actors import (
    NAMESPACE,
    ActorTransport,
    start_host,
    start_registry,
)
from device_agents.farm_ray.carrier import connect
from search.errors import KitError

_ANSWER_S = 60.0


def main() -> int:
    """0 once the actor answers, or is gone."""
    address, asked = sys.argv[1], json.loads(sys.argv[2])
    connect(address)
    secret = Path(asked["secret"])
    if asked["what"] == "registry":
        start_registry(Path(asked["journal"]), secret, asked["ttl_s"])
        RegistryClient(ActorTransport(), read_secret(secret)).hosts()
    elif asked["what"] == "host":
        _join(asked, secret)
    else:
        _leave(asked["host"], secret)
    return 0


def _join(asked: dict[str, Any], secret: Path) -> None:
    import ray

    host = asked["host"]
    registry = RegistryClient(ActorTransport(), read_secret(secret))
    if host not in [one.host for one in registry.hosts()]:
        registry.see(host, [])
    registry.drain(host, False)
    shelf = Shelf(host=host, adb_server=asked["adb_server"], connect=tuple(asked["connect"]))
    actor = start_host(shelf, secret)
    ray.get(actor.answer.remote(b""), timeout=_ANSWER_S)


def _leave(host: str, secret: Path) -> None:
    import ray

    with contextlib.suppress(ValueError, ray.exceptions.RayError):
        actor = ray.get_actor(host_service(host), namespace=NAMESPACE)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(actor.leave.remote(), timeout=_ANSWER_S)
        ray.kill(actor)
    with contextlib.suppress(KitError):
        RegistryClient(ActorTransport(), read_secret(secret)).see(host, [])


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
