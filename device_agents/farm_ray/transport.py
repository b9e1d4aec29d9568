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
# Calls in a row without a reply, after which the connection itself is taken to be dead: a head
# that was started again at the same address answers all of Ray's own questions, and no call.
_MOST_SILENT = 2
_MODULE = "device_agents.farm_ray.carrier"

_Reply = tuple[dict[str, object], bytes]
# A call that waits: the process that carries it, and its reply.
_Call = tuple["subprocess.Popen[bytes]", "concurrent.futures.Future[_Reply]"]


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
        self._open: dict[int, _Call] = {}
        self._carrier: subprocess.Popen[bytes] | None = None
        self._silent = 0

    def ask(self, service: str, request: bytes, timeout_s: float) -> bytes:
        number = next(self._numbers)
        future: concurrent.futures.Future[_Reply] = concurrent.futures.Future()
        header = {"id": number, "service": service, "timeout_s": timeout_s}
        with self._lock:
            carrier = self._started()
            assert carrier.stdin is not None
            self._open[number] = carrier, future
            try:
                write_frame(carrier.stdin, header, request)
            except OSError as error:
                self._open.pop(number, None)
                raise unreachable(service, "the connection to Ray broke") from error
        try:
            told, reply = future.result(timeout_s + 10)
        except concurrent.futures.TimeoutError as error:
            self._count_silence(carrier)
            raise unreachable(service, "it took too long") from error
        except ConnectionLost as error:
            raise unreachable(service, str(error)) from error
        finally:
            self._open.pop(number, None)
        if isinstance(words := told["error"], list):
            if told.get("silent"):
                self._count_silence(carrier)
            raise Unreachable(*map(str, words))
        self._silent = 0
        return reply

    def _count_silence(self, carrier: "subprocess.Popen[bytes]") -> None:
        """End a carrier none of whose last calls was replied to: the next call gets another."""
        with self._lock:
            self._silent += 1
            if self._silent >= _MOST_SILENT and carrier is self._carrier:
                self._silent = 0
                self._end(carrier)
                self._carrier = None

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
        self._open[0] = carrier, ready
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
                call = self._open.get(int(str(frame[0]["id"])))
                if call is not None and not call[1].done():
                    call[1].set_result(frame)
        for its_carrier, future in list(self._open.values()):
            if its_carrier is carrier and not future.done():
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
