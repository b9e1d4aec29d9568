"""Commands of the kit in processes of their own that need not import the libraries again.

Most of what such a command costs in a test is Python's start: torch, pandas and scipy take two
to three seconds of a processor. One process a worker imports them once and forks for each
command (a fork server). What differs from `python -m NAME`: the libraries are loaded already.
Arguments, environment, folder, streams, signals and exit codes are the command's own.
"""

import array
import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
# Read when libraries are loaded: a command that sets another value starts as usual.
LOADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
LIBRARIES = (
    "torch",
    "torch._dynamo",  # an optimiser loads it
    "pandas",
    "scipy.stats",
    "scipy.optimize",
    "sklearn.datasets",
    "PIL.Image",
    "rich.progress",
)
KIT = ("profiler.cli.app", "profiler.campaign.run", "search.cli.app", "search.pipeline.run")
MESSAGE_BYTES = 1 << 20


class Forked(subprocess.Popen[str]):
    """`python -m NAME ...` as a fork of a process that has loaded the libraries.

    `args` are `[sys.executable, "-m", NAME, ...]`; `env`, `cwd`, the streams and
    `start_new_session` are as for `subprocess.Popen`.
    """

    def _execute_child(self, args: Any, *rest: Any) -> None:
        # The order of subprocess.Popen's own arguments, the same from Python 3.11 to 3.14.
        (_executable, preexec, _close, _pass, cwd, env, _info, _flags, _shell) = rest[:9]
        in_read, in_write, out_read, out_write, error_read, error_write = rest[9:15]
        assert args[:2] == [sys.executable, "-m"]
        assert preexec is None
        streams = [
            given if given >= 0 else own
            for given, own in zip((in_read, out_write, error_write), (0, 1, 2), strict=True)
        ]
        request = {
            "words": args[2:],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "session": bool(rest[-2]),
        }
        self.pid, self._ended = _server().start(request, streams)
        self._child_created = True
        pipes = ((in_read, in_write), (out_write, out_read), (error_write, error_read))
        for used in {used for used, given in pipes if min(used, given) >= 0}:
            os.close(used)
        if hasattr(self, "_devnull"):
            os.close(self._devnull)

    def _internal_poll(self, _deadstate: int | None = None, **_unused: Any) -> int | None:
        if self.returncode is None:
            self._collect(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None and not self._collect(timeout):
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return int(self.returncode)

    def _collect(self, timeout: float | None) -> bool:
        """Whether it has ended; its exit code is kept."""
        poll = select.poll()
        poll.register(self._ended)
        ready = poll.poll(None if timeout is None else 1000 * timeout)
        if ready:
            self.returncode = int(os.read(self._ended, 16) or b"-9")
            os.close(self._ended)
        return bool(ready)


class _Server:
    """The process that forks: started once, ended with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, **LOADED},
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)

    def start(self, request: dict[str, Any], streams: list[int]) -> tuple[int, int]:
        """Process id, and a pipe that tells the exit code."""
        ended, tell = os.pipe()
        message = json.dumps(request).encode()
        assert len(message) < MESSAGE_BYTES
        self._socket.sendmsg(
            [len(message).to_bytes(4, "big")],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [*streams, tell]))],
        )
        self._socket.sendall(message)
        os.close(tell)
        answer = self._socket.recv(16)
        assert answer, "the process that forks has ended"
        return int(answer), ended

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


_SERVERS: dict[int, _Server] = {}


def _server() -> _Server:
    """This process's own: a fork of it makes another."""
    if os.getpid() not in _SERVERS:
        _SERVERS[os.getpid()] = _Server()
    return _SERVERS[os.getpid()]


def start_module(*words: str, environment: dict[str, str], **popen: Any) -> subprocess.Popen[str]:
    """Start `python -m words...` with pipes for its output: a fork, where that can be (Linux)."""
    forks = sys.platform == "linux" and "preexec_fn" not in popen
    return (Forked if forks else subprocess.Popen[str])(
        [sys.executable, "-m", *words],
        env={**environment, **LOADED},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **popen,
    )


# --- the process that forks


def serve(number: int) -> None:
    """Load the libraries, then fork for each request until the socket closes."""
    for library in (*LIBRARIES, *KIT):
        __import__(library)
    tells: dict[int, int] = {}
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=number) as requests:
        while True:
            ready, _, _ = select.select([requests.fileno(), wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
                _tell_ended(tells)
            if requests.fileno() in ready and not _fork_one(requests, tells, (wake, waker)):
                return


def _tell_ended(tells: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            tell = tells.pop(found[0])
            with contextlib.suppress(BrokenPipeError):
                os.write(tell, str(os.waitstatus_to_exitcode(found[1])).encode())
            os.close(tell)


def _fork_one(requests: socket.socket, tells: dict[int, int], wakes: tuple[int, int]) -> bool:
    """Start what the next request asks for; False where there is none any more."""
    size, rights, _, _ = requests.recvmsg(4, socket.CMSG_SPACE(16))
    if not size:
        return False
    streams = array.array("i", rights[0][2])
    message = b""
    while len(message) < int.from_bytes(size, "big"):
        message += requests.recv(MESSAGE_BYTES)
    process = os.fork()
    if not process:
        signal.set_wakeup_fd(-1)
        for index, stream in enumerate(streams[:3]):
            os.dup2(stream, index)
        requests.close()
        for used in (*streams, *tells.values(), *wakes):
            os.close(used)
        _become(json.loads(message))
    tells[process] = streams[3]
    for stream in streams[:3]:
        os.close(stream)
    requests.sendall(str(process).encode())
    return True


def _become(request: dict[str, Any]) -> NoReturn:
    """Be the command asked for, and end with it."""
    if request["session"]:
        os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["folder"], *filter(None, paths)]
    sys.argv = request["words"]
    _open_streams()
    importlib.invalidate_caches()
    try:
        runpy.run_module(request["words"][0], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        # Python ends itself by the signal that nobody caught, but not where torch looks at frames.
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    raise SystemExit(0)


def _open_streams() -> None:
    """Python's streams anew: they remember what their files could do."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old = getattr(sys, name)
        errors = "backslashreplace" if name == "stderr" else old.errors
        raw = io.FileIO(number, mode, closefd=False)
        binary = io.BufferedReader(raw) if name == "stdin" else raw  # unbuffered, as `python -u`
        stream = io.TextIOWrapper(binary, old.encoding, errors, write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
