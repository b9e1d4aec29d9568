"""A process that carries a command's calls over Ray (`transport` starts it).

Ray ends a process whose node it loses; a campaign must outlive that. So the command itself never
imports Ray: it speaks through pipes with this process, and starts another one where this one ends.
Nothing that comes out of the pipe is executed.
"""

import concurrent.futures
import os
import sys
import threading
from typing import IO

from device_agents.farm_hosts.transport import Silent
from device_agents.farm_ray.actors import ActorTransport
from device_agents.farm_ray.processes import WRONG_TOKEN, read_frame, write_frame
from search.errors import KitError

_THREADS = 32


def connect(address: str) -> None:
    """Connect this process to the cluster at HOST:PORT, by the node of this host."""
    import ray

    ray.init(
        address=address,
        namespace="fbnet-kit-farm",
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=False,
    )


def serve(calls: IO[bytes], replies: IO[bytes]) -> None:
    """Carry calls until the pipe ends."""
    transport, writing = ActorTransport(), threading.Lock()

    def carry(header: dict[str, object], content: bytes) -> None:
        try:
            timeout_s = float(str(header["timeout_s"]))
            reply = transport.ask(str(header["service"]), content, timeout_s)
            told: dict[str, object] = {"id": header["id"], "error": None}
        except KitError as error:
            reply, told = b"", {"id": header["id"], "error": [error.message, error.remedy]}
            told["silent"] = isinstance(error, Silent)
        with writing:
            write_frame(replies, told, reply)

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while (frame := read_frame(calls)) is not None:
            pool.submit(carry, *frame)


def main() -> None:
    """Connect, say so, and carry calls."""
    # Ray prints; only replies may stand on standard output.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        connect(sys.argv[1])
    except ConnectionError as error:
        refused = WRONG_TOKEN in f"{error.__cause__} {error.__context__}"
        write_frame(replies, {"id": 0, "error": "secret" if refused else "unreachable"})
        os._exit(1)
    write_frame(replies, {"id": 0, "error": None})
    serve(sys.stdin.buffer, replies)
    os._exit(0)


if __name__ == "__main__":
    main()
