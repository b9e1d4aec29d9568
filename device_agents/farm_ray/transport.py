"""The transport over Ray, as commands use it: a process beside this one does the carrying."""

import concurrent.futures
import contextlib
import itertools
import subprocess
import sys
import threading
from pathlib import Path

from device_agents.farm_hosts.messages import NotAdmitted
from device_agents.farm_hosts.transport import Unreachable, unreachable
from device_agents.farm_ray.processes import (
    OTHER_SECRET,
    listens,
    ray_environment,
    read_frame,
    require_ray,
    write_frame,
)
from search.errors import ConnectionLost

_CONNECT_S = 90.0
_MODULE = "device_agents.farm_ray.carrier"

_Reply = tuple[dict[str, object], bytes]


class RayTransport:
    """Calls over Ray.

    Args:
        address: HOST:PORT of the farm.
        secret: File of its secret.

    Raises:
        UsageError: Ray is not installed.
    """

    def __init__(self, address: str, secret: Path) -> None:
        require_ray()
        self._address = address
        self._secret = secret
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, concurrent.futures.Future[_Reply]] = {}
        self._carrier: subprocess.Popen[bytes] | None = None

    def ask(self, service: str, request: bytes, timeout_s: float) -> bytes:
        number = next(self._numbers)
        future: concurrent.futures.Future[_Reply] = concurrent.futures.Future()
        header = {"id": number, "service": service, "timeout_s": timeout_s}
        with self._lock:
            carrier = self._started()
            assert carrier.stdin is not None
            self._open[number] = future
            try:
                write_frame(carrier.stdin, header, request)
            except OSError as error:
                self._open.pop(number, None)
                raise unreachable(service, "the connection to Ray broke") from error
        try:
            told, reply = future.result(timeout_s + 10)
        except (ConnectionLost, concurrent.futures.TimeoutError) as error:
            raise unreachable(service, str(error) or "it took too long") from error
        finally:
            self._open.pop(number, None)
        if isinstance(words := told["error"], list):
            raise Unreachable(*map(str, words))
        return reply

    def _started(self) -> "subprocess.Popen[bytes]":
        """The process that carries; a new one where the old one ended."""
        if self._carrier is not None and self._carrier.poll() is None:
            return self._carrier
        self._end(self._carrier)
        if not listens(self._address):
            raise unreachable("registry", f"nothing listens at {self._address}")
        carrier = subprocess.Popen(
            [sys.executable, "-m", _MODULE, self._address],
            env=ray_environment(self._secret, self._address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        ready: concurrent.futures.Future[_Reply] = concurrent.futures.Future()
        self._open[0] = ready
        threading.Thread(target=self._read, args=(carrier,), daemon=True).start()
        try:
            told, _ = ready.result(_CONNECT_S)
            if told["error"] == "secret":
                self._end(carrier)
                raise NotAdmitted(*OTHER_SECRET)
            if told["error"] is not None:
                raise ConnectionLost(f"Ray does not answer at {self._address}")
        except (ConnectionLost, concurrent.futures.TimeoutError) as error:
            self._end(carrier)
            raise unreachable(
                "registry", str(error) or f"Ray does not answer at {self._address}"
            ) from error
        self._carrier = carrier
        return carrier

    def _read(self, carrier: "subprocess.Popen[bytes]") -> None:
        assert carrier.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while (frame := read_frame(carrier.stdout)) is not None:
                future = self._open.get(int(str(frame[0]["id"])))
                if future is not None and not future.done():
                    future.set_result(frame)
        for future in list(self._open.values()):
            if not future.done():
                future.set_exception(ConnectionLost("the connection to Ray ended"))

    def close(self) -> None:
        """End the process that carries."""
        with self._lock:
            self._end(self._carrier)
            self._carrier = None

    @staticmethod
    def _end(carrier: "subprocess.Popen[bytes] | None") -> None:
        if carrier is None:
            return
        carrier.kill()
        carrier.wait()
        for pipe in (carrier.stdin, carrier.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
