"""The first journey: from a clone to a network proven on this machine, as a user goes.

python -m tests.journeys.first_hour --torch-index INDEX
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.journeys.terminal import ROOT, Step, environment_of, in_terminal, told


def journey(folder: Path, torch_index: str | None) -> list[Step]:
    """The two commands, and what README names after them."""
    environment = environment_of(folder / "cache")
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
        if seconds > 60 * asked.limit_minutes:
            problems.append(f"the two commands took {seconds / 60:.1f} minutes")
        code = told(steps, problems)
        print(f"{seconds:7.1f} s  both commands")
        return code
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
