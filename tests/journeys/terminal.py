"""A pseudo-terminal of 80 columns for journeys, and what a user would stumble over in it."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 80
_COMMANDS = ("+", ".venv/", "python", "fbnet-kit", "pip install", "eval", "WARNING: ")
# Colours and movements of the cursor.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command as it ended, with all that its terminal showed."""

    line: str
    code: int
    seconds: float
    shown: str
    expected: tuple[int, ...] = (0,)

    def problems(self) -> list[str]:
        """What a user would stumble over."""
        wrong = self.code not in self.expected
        found = [f"{self.line}: exit code {self.code}"] if wrong else []
        if "Traceback (most recent call last)" in self.shown:
            found.append(f"{self.line}: a traceback")
        found += [f"{self.line}: a line of {len(line)} columns: {line}" for line in self.wide()]
        return found

    def wide(self) -> list[str]:
        """Lines that a terminal had to break in the middle of a word or a number.

        A path or an address stands alone in its line, a command is there to be pasted, `make`
        repeats commands, and pip warns as it likes.
        """
        lines = (text.rpartition("\r")[2] for text in self.plain().split("\n"))
        return [
            line
            for line in lines
            if len(line) > COLUMNS
            and len(line.split()) > 1
            and not line.lstrip().startswith(_COMMANDS)
        ]

    def plain(self) -> str:
        """What it showed, without colours and movements of the cursor."""
        return _ESCAPES.sub("", self.shown.replace("\r\n", "\n"))


def in_terminal(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    expected: tuple[int, ...] = (0,),
    budget_s: float = float("inf"),
) -> Step:
    """Run a command in a pseudo-terminal of 80 columns, echoing what it shows.

    One that takes longer than its budget is killed, as is what it started: code -9.
    """
    started = time.monotonic()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, COLUMNS))
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            shown = b"".join(_shown(process, ours, started + budget_s))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    os.close(ours)
    return Step(
        line=" ".join(words),
        code=process.returncode,
        seconds=time.monotonic() - started,
        shown=shown.decode(errors="replace"),
        expected=expected,
    )


def _shown(process: subprocess.Popen[bytes], terminal: int, until: float) -> Iterator[bytes]:
    """What a process shows until it ends, echoed; it is killed where it takes too long."""
    while True:
        ready = select.select([terminal], [], [], 1)[0]
        try:
            part = os.read(terminal, 1 << 16) if ready else b""
        except OSError:  # Linux's way to say that the other end is closed
            return
        if not part and process.poll() is not None:
            return
        if time.monotonic() > until:
            os.killpg(process.pid, signal.SIGKILL)
            return
        sys.stdout.buffer.write(part)
        sys.stdout.flush()
        yield part


def environment_of(cache: Path) -> dict[str, str]:
    """That of a user: a terminal of 80 columns, a cache of its own, no environment active."""
    kept = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    own = {"TERM": "xterm", "COLUMNS": str(COLUMNS), "KIT_CACHE": str(cache), "PYTHONPATH": ""}
    return {**kept, **own}


class Desk:
    """Runs the kit's programs in a terminal, and keeps what they showed."""

    def __init__(self, folder: Path) -> None:
        self._environment = environment_of(folder / "cache")
        self.steps: list[Step] = []

    def kit(self, *words: str, expected: tuple[int, ...] = (0,)) -> bool:
        """`python -m words` in the checkout; True where it ended as it should."""
        return self.run([sys.executable, "-m", *words], ROOT, expected)

    def run(self, words: list[str], folder: Path, expected: tuple[int, ...] = (0,)) -> bool:
        """Any program; True where it ended as it should."""
        self.steps.append(in_terminal(words, folder, self._environment, expected))
        return self.steps[-1].code in expected


def travel(journey: Callable[[Desk, Path], Iterable[str]], *, keep: bool) -> int:
    """A journey in a new folder, which is removed unless it is to be kept; 1 if it stumbled."""
    folder = Path(tempfile.mkdtemp(prefix="journey-"))
    try:
        desk = Desk(folder)
        problems = list(journey(desk, folder))
        problems += [problem for step in desk.steps for problem in step.problems()]
        return told(desk.steps, problems)
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def told(steps: Sequence[Step], problems: Sequence[str]) -> int:
    """Print how long each step took and what was stumbled over; 1 if anything was."""
    print("\n--- the journey")
    for step in steps:
        print(f"{step.seconds:7.1f} s  {step.line}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{sum(step.seconds for step in steps):7.1f} s  in all, on {os.cpu_count()} cores")
    print(f"          load averages at the end: {load}")
    for problem in problems:
        print(f"STUMBLE: {problem}")
    return 1 if problems else 0
