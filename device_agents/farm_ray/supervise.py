"""Keeps a host's part of a farm running: a Ray node and one actor, started again where they end."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from device_agents.farm_ray.processes import ray_environment, running_node
from search.errors import DeviceError, KitError

_AGAIN_S = 3.0
_LAUNCH_S = 180.0
_LEAVE_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPart:
    """What runs on a host.

    Attributes:
        address: HOST:PORT of the farm.
        secret: File of its secret.
        node: Options of its Ray node.
        actor: What `launch` starts there.
        at_end: What it is asked to do before the node ends; nothing if empty.
        log: What the node says.
    """

    address: str
    secret: Path
    node: Mapping[str, str]
    actor: Mapping[str, object]
    log: Path
    at_end: Mapping[str, object] = field(default_factory=dict)


def keep_running(
    part: HostPart,
    stop: threading.Event,
    say: Callable[[str], None],
    ready: Callable[[], None],
) -> None:
    """Run until `stop` is set; what ends before is started again.

    Args:
        part: What runs.
        stop: Set to end it.
        say: Told what happens.
        ready: Called once the actor answers for the first time.

    Raises:
        DeviceError: It could not be started the first time.
    """
    was_ready = False
    while not stop.is_set():
        try:
            with running_node(part.node, part.secret, part.log) as node:
                _launch(part, part.actor, _LAUNCH_S)
                if was_ready:
                    say("back in the farm")
                else:
                    ready()
                was_ready = True
                while not stop.wait(0.5) and node.poll() is None:
                    pass
                if stop.is_set() and part.at_end:
                    with contextlib.suppress(KitError):
                        _launch(part, part.at_end, _LEAVE_S)
        except DeviceError as error:
            if not was_ready:
                raise
            say(f"not in the farm: {error.message}")
        if not stop.wait(_AGAIN_S):
            say("Ray's node ended; it is started again")


def _launch(part: HostPart, asked: Mapping[str, object], limit_s: float) -> None:
    content = json.dumps({**asked, "secret": str(part.secret.resolve())})
    module = "device_agents.farm_ray.launch"
    try:
        ended = subprocess.run(
            [sys.executable, "-m", module, part.address, content],
            env=ray_environment(part.secret, part.address),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"The farm at {part.address} did not answer within {limit_s:.0f} s.",
            "See whether its first host runs (farm start).",
        ) from error
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or ["nothing"]
        raise DeviceError(
            f"The farm at {part.address} could not be joined: {lines[-1][:300]}",
            f"See {part.log}; is the secret that of the farm?",
        )
