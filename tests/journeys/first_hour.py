"""The first journey: from a clone to a network proven on this machine, as a user goes.

python -m tests.journeys.first_hour --torch-index INDEX
"""

import argparse
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WIDTH = "80"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command as it ended, with all that its terminal showed."""

    line: str
    code: int
    seconds: float
    shown: str

    def problems(self) -> list[str]:
        """What a user would stumble over."""
        found = [f"{self.line}: exit code {self.code}"] if self.code else []
        if "Traceback (most recent call last)" in self.shown:
            found.append(f"{self.line}: a traceback")
        return found


def in_terminal(words: Sequence[str], folder: Path, environment: dict[str, str]) -> Step:
    """Run a command in a pseudo-terminal of 80 columns, echoing what it shows."""
    started = time.monotonic()
    ours, theirs = pty.openpty()
    shown = bytearray()
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while True:
            ready = select.select([ours], [], [], 1)[0]
            try:
                part = os.read(ours, 1 << 16) if ready else b""
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not part and process.poll() is not None:
                break
            shown += part
            sys.stdout.buffer.write(part)
            sys.stdout.flush()
    os.close(ours)
    return Step(
        line=" ".join(words),
        code=process.returncode,
        seconds=time.monotonic() - started,
        shown=shown.decode(errors="replace"),
    )


def journey(folder: Path, torch_index: str | None) -> list[Step]:
    """The two commands, and what README names after them."""
    environment = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {
        "TERM": "xterm",
        "COLUMNS": _WIDTH,
        "KIT_CACHE": str(folder / "cache"),
        "PYTHONPATH": "",
    }
    checkout = folder / "fbnet-kit"
    index = [f"TORCH_INDEX={torch_index}"] if torch_index else []
    programs = checkout / ".venv" / "bin"
    steps = [in_terminal(["git", "clone", "-q", str(ROOT), str(checkout)], folder, environment)]
    for words in (
        ["make", "profile", *index],
        ["make", "network", *index],
        [str(programs / "python"), "-m", "profiler", "tables", "latest"],
        [str(programs / "python"), "-m", "profiler", "show", "latest"],
        [str(programs / "fbnet-kit"), "compare", "network/net.json"],
    ):
        if steps[-1].code:
            break
        steps.append(in_terminal(words, checkout, environment))
    return steps


def proof(checkout: Path) -> list[str]:
    """What is amiss with what the journey made; empty if the network is there and proven."""
    network = checkout / "network"
    missing = [name for name in ("net.json", "net.pt") if not (network / name).is_file()]
    if missing:
        return [f"{name} was not made" for name in missing]
    result = json.loads((network / "net.result.json").read_text())
    chosen = result["chosen"]
    return [] if chosen["meets_target"] else ["the network found does not meet its target"]


def main() -> int:
    """Run the journey; 1 if a user would have stumbled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-index", help="PyTorch's index of CPU wheels; pip's own without")
    parser.add_argument("--limit-minutes", type=float, default=10.0, help="of both commands")
    parser.add_argument("--folder", type=Path, help="where to clone; a temporary one without")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="journey-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        steps = journey(folder, asked.torch_index)
        problems = [problem for step in steps for problem in step.problems()]
        problems += proof(folder / "fbnet-kit")
        seconds = sum(step.seconds for step in steps if step.line.startswith("make "))
        print("\n--- the journey")
        for step in steps:
            print(f"{step.seconds:7.1f} s  {step.line}")
        if seconds > 60 * asked.limit_minutes:
            problems.append(f"the two commands took {seconds / 60:.1f} minutes")
        print(f"{seconds:7.1f} s  both commands, on {os.cpu_count()} cores")
        for problem in problems:
            print(f"STUMBLE: {problem}")
        return 1 if problems else 0
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
