"""Ray's processes on this host: a node, started and ended as one group of processes."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from search.cache import cache_root
from search.errors import DeviceError, UsageError

LOOPBACK = "127.0.0.1"
# Ray's own least; nothing large is ever stored in it.
_STORE_BYTES = 80_000_000
_READY = "block forever"
_SLOW = "timed out during startup"
_START_S = 120.0
_TRIES = 3
_END_S = 10.0
_CONNECT_S = 5.0
# In what Ray says where its token is another one than ours.
WRONG_TOKEN = "InvalidAuthToken"  # noqa: S105 (what it says, not a token)
OTHER_SECRET = (
    "This farm has another secret.",
    "Copy the secret of its first host to this one (mode 600), or name it by --secret "
    "(--farm-secret of a campaign).",
)


def listens(address: str) -> bool:
    """Whether anything accepts connections at HOST:PORT; Ray takes half a minute to tell."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return True
    except OSError:
        return False


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        UsageError: It is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "A farm of several hosts needs Ray, which is not installed.",
            "pip install 'fbnet-kit[farm]', or in a checkout: pip install -e '.[farm]'.",
        )


def ray_environment(secret: Path, address: str) -> dict[str, str]:
    """Variables of every process that speaks with Ray: its own token check, no reports home."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    only_here = address.startswith(LOOPBACK)
    return {
        **kept,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(secret.resolve()),
        "RAY_USAGE_STATS_ENABLED": "0",
        # A head that died forgets its nodes: they do not wait for it, they join it again.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
        # In Ray's words: the address of this computer is the one of the loopback.
        **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if only_here else {}),
    }


@contextlib.contextmanager
def running_node(
    options: Mapping[str, str], secret: Path, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A node of Ray while this is open; every process of it ends with it.

    Args:
        options: Of `ray start`, beyond those that every node of a farm has.
        secret: File of the farm's secret; Ray's token too.
        log: What the node says is written here.

    Raises:
        DeviceError: It does not start.
    """
    environment = ray_environment(secret, options["node-ip-address"])
    environment.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)  # it would let no node join
    log.parent.mkdir(parents=True, exist_ok=True)
    node = _started(options, environment, log)
    try:
        yield node
    finally:
        _end(node)


def _started(
    options: Mapping[str, str], environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """A node that is ready; tried again where Ray gave up after half a minute (a busy host)."""
    if "head" in options and listens(address := f"{options['node-ip-address']}:{options['port']}"):
        raise DeviceError(
            f"Something listens at {address} already.",
            f"If it is a farm, join it (python -m profiler farm join {address}); or name another "
            "--port.",
        )
    if "address" in options and not listens(options["address"]):
        raise DeviceError(
            f"Nothing listens at {options['address']}.",
            "Start the farm on its first host: python -m profiler farm start.",
        )
    for attempt in range(_TRIES):
        with log.open("wb") as stream:
            node = subprocess.Popen(
                _command(options),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            _wait_until_ready(node, log)
        except BaseException as error:
            _end(node)
            if attempt + 1 == _TRIES or _SLOW not in str(error):
                raise
            continue
        return node
    raise AssertionError("the last attempt returns or raises")


def _command(options: Mapping[str, str]) -> list[str]:
    every = {
        "include-log-monitor": "false",
        "num-cpus": "0",
        "object-store-memory": str(_STORE_BYTES),
    }
    both = {**every, **options}
    words = [f"--{name}={text}" if text else f"--{name}" for name, text in both.items()]
    module = "device_agents.farm_ray.node"
    return [sys.executable, "-m", module, "start", "--block", "--disable-usage-stats", *words]


def head_options(listen: str, port: int) -> dict[str, str]:
    """Options of the node that everything else joins."""
    return {
        "head": "",
        "node-ip-address": listen,
        "port": str(port),
        "include-dashboard": "false",
        "temp-dir": str(_sockets()),
        "resources": json.dumps({"farm_registry": 1}),
    }


def host_options(address: str, listen: str, host: str) -> dict[str, str]:
    """Options of the node of one host."""
    return {
        "address": address,
        "node-ip-address": listen,
        "resources": json.dumps({host_resource(host): 1}),
    }


def host_resource(host: str) -> str:
    """What of Ray only this host's node has: where its agent runs. Phones are none of it."""
    return f"farm_host_{host}"


def _sockets() -> Path:
    """A folder whose path is short: those of sockets may have 107 characters."""
    folder = cache_root() / "farm" / "ray"
    if len(str(folder)) > 40:
        folder = Path(f"/tmp/kit-farm-{os.getuid()}")  # noqa: S108 (made for its owner alone)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UsageError(f"{folder} belongs to somebody else.", "Set KIT_CACHE to a short path.")
    return folder


def _wait_until_ready(node: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        if _READY in text:
            return
        if node.poll() is not None:
            break
        time.sleep(0.2)
    text = log.read_text(encoding="utf-8", errors="replace")
    if WRONG_TOKEN in text:
        raise DeviceError(*OTHER_SECRET)
    lines = text.strip().splitlines() or ["nothing"]
    raise DeviceError(
        f"Ray's node did not start; it said: {lines[-1][:300]}",
        f"See {log}. Is the address free, and the secret that of the farm?",
    )


def _end(node: "subprocess.Popen[bytes]") -> None:
    """End the whole group: Ray's daemons are its members."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, number)
        if number == signal.SIGTERM:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(_END_S)
    node.wait()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, object], bytes] | None:
    """A header and its bytes from a pipe; None at its end."""
    sizes = stream.read(8)
    if len(sizes) < 8:
        return None
    header = stream.read(int.from_bytes(sizes[:4], "big"))
    content = stream.read(int.from_bytes(sizes[4:], "big"))
    found: dict[str, object] = json.loads(header)
    return found, content


def write_frame(stream: IO[bytes], header: Mapping[str, object], content: bytes = b"") -> None:
    """A header and bytes into a pipe."""
    line = json.dumps(header).encode()
    stream.write(len(line).to_bytes(4, "big") + len(content).to_bytes(4, "big") + line + content)
    stream.flush()
