"""Runs a command in this process, with its output captured and its time and memory watched."""

import contextlib
import io
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

# Seconds of this process's own work: the load of the machine does not count.
MOST_CPU_S = 8.0
MOST_BYTES = 500 * 2**20
# A command that waits for something for ever uses no time of its own.
_MOST_WAITING_S = 300.0
_MAINS = {"profiler": "profiler.cli.app", "search": "search.cli.app", "deploy": "deploy.cli"}


class TookTooLong(BaseException):
    """A command used more time than any damaged file may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended; `grown_bytes` is how far its memory rose above what it found."""

    code: object
    out: str
    err: str
    grown_bytes: int
    words: tuple[str, ...]

    @property
    def told(self) -> str:
        """Everything that it said, for the message of a failed test."""
        return f"{' '.join(self.words)}: exit {self.code}\n{self.err}\n{self.out}"[:3000]

    def faults(self) -> list[str]:
        """What no command may do, whatever it is given."""
        said = self.out + self.err
        faults = []
        if self.code not in (0, 1, 2, 3):
            faults.append(f"it ended with {self.code!r}")
        if self.code in (2, 3) and not self.err.strip():
            faults.append("it refused without a word")
        if "Traceback" in said:
            faults.append("a traceback")
        if len(self.err) > 4000:
            faults.append("more than a few sentences of complaint")
        if any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in said):
            faults.append("control characters")
        if self.grown_bytes > MOST_BYTES:
            faults.append(f"{self.grown_bytes / 2**20:.0f} MiB of memory")
        return faults


def run(*words: str) -> Ended:
    """Run `python -m words[0] words[1:]` in this process.

    An exception that the command line lets through is raised: it would be a traceback.
    """
    main = import_module(_MAINS[words[0]]).main
    out, err = io.StringIO(), io.StringIO()
    before = _peak_bytes(reset=True)
    with pytest.MonkeyPatch.context() as patch, _limits():
        patch.setattr(sys, "argv", list(words))
        patch.setattr(typer.main, "get_command", _command_of)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _code_of(main)
    return Ended(
        code=code,
        out=out.getvalue(),
        err=err.getvalue(),
        grown_bytes=_peak_bytes() - before,
        words=words,
    )


# typer reads all signatures again for each call, which takes longer than most refusals.
_command_of = cache(typer.main.get_command)


def _code_of(main: Callable[[], object]) -> object:
    try:
        main()
    except SystemExit as end:
        return end.code
    return "no exit code"


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Work on a damaged file that is not a command; fails like a command that took too long."""
    before = _peak_bytes(reset=True)
    with _limits():
        yield
    assert _peak_bytes() - before <= MOST_BYTES


def _too_long(*_: object) -> None:
    raise TookTooLong


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Interrupt what takes too long, and refuse memory before the machine suffers."""
    old = {number: signal.signal(number, _too_long) for number in (signal.SIGPROF, signal.SIGALRM)}
    terminated, hung_up = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    room = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * MOST_BYTES, room[1]))
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    signal.setitimer(signal.ITIMER_REAL, _MOST_WAITING_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, room)
        for number, handler in old.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGHUP, hung_up)


def _peak_bytes(*, reset: bool = False) -> int:
    """The most memory that this process has held (since the last reset, where that works)."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
