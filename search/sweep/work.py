"""The work of a sweep: each run a search in a process of its own, and what they found."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.console.messages import counted
from search.console.progress import Progress
from search.errors import EXIT_INTERRUPTED, EXIT_OK
from search.files import write_text
from search.sweep.grid import Run, Setting
from search.sweep.outcome import FAILED, NET, Outcome, read_outcome
from search.sweep.summary import SettingSummary, summarise

LOG = "log.txt"
_LAST_WORDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Runs and their outcomes, in the order of the settings; `rows` sums them up."""

    runs: tuple[tuple[Run, Outcome], ...]
    rows: tuple[SettingSummary, ...]

    def document(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "schema_version": 1,
            "settings": rows_of(self.rows),
            "runs": [
                {
                    **run.setting.values,
                    "seed": run.seed,
                    "accuracy": outcome.accuracy,
                    "cost": outcome.cost,
                    "cost_name": outcome.cost_name,
                    "network": outcome.network,
                    "seconds": outcome.seconds,
                    "failed": outcome.failed,
                    "folder": run.name,
                }
                for run, outcome in self.runs
            ],
        }


def rows_of(summaries: Sequence[SettingSummary]) -> list[dict[str, object]]:
    """Settings as rows of equal columns to be printed; accuracies in percent."""
    names = {row.cost_name for row in summaries if row.cost_name}
    name = names.pop() if len(names) == 1 else "cost"
    return [_row(row, name) for row in summaries]


def _row(row: SettingSummary, name: str) -> dict[str, object]:
    accuracy, cost = row.accuracy, row.cost
    half = None if accuracy is None else accuracy.half_width
    return {
        **row.values,
        "runs": row.runs,
        "failed": row.failed,
        "accuracy_percent": None if accuracy is None else round(100 * accuracy.value, 3),
        "accuracy_95": None if half is None else round(100 * half, 3),
        name: None if cost is None else round(cost.value, 6),
        f"{name}_95": None
        if cost is None or cost.half_width is None
        else round(cost.half_width, 6),
        "front": row.on_front,
    }


Search = Callable[[list[str], Path], int]


def run_sweep(
    runs: Sequence[Run], folder: Path, progress: Progress, search: Search | None = None
) -> SweepResult:
    """Take every run that has not finished; one that fails does not stop the others.

    Args:
        runs: From `runs_of`.
        folder: Has one folder a run.
        progress: A step a run.
        search: Runs a search with these words and this log; returns its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C or a kill; the present run has kept its state.
    """
    search, found = search or in_own_process, []
    ahead = [run for run in runs if _finished(run, folder) is None]
    progress.stage("sweep", len(runs), len(runs) - len(ahead), opening=_opening(runs, ahead))
    for run in runs:
        outcome = _finished(run, folder)
        if outcome is None:
            outcome = _take(run, folder / run.name, search)
            progress.milestone(_told(run, outcome))
            progress.advance()
        found.append((run, outcome))
    progress.end_stage()
    settings: dict[Setting, list[Outcome]] = {}
    for run, outcome in found:
        settings.setdefault(run.setting, []).append(outcome)
    rows = summarise([(setting.values, outcomes) for setting, outcomes in settings.items()])
    return SweepResult(runs=tuple(found), rows=tuple(rows))


def _opening(runs: Sequence[Run], ahead: Sequence[Run]) -> str:
    done = len(runs) - len(ahead)
    return f"sweep: {counted(len(runs), 'run')}, {done} of them finished before"


def _finished(run: Run, folder: Path) -> Outcome | None:
    """The outcome of a run that ended well; one that failed is tried again."""
    outcome = read_outcome(folder / run.name, run.seed, retrained="--retrain" in run.words)
    return None if outcome is None or outcome.failed else outcome


def _take(run: Run, folder: Path, search: Search) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    state = folder / "net.run"
    words = [*run.words, "-o", str(folder / NET), "--format", "json"]
    if state.is_dir() and any(state.iterdir()):
        words.append("--resume")
    code = search(words, folder / LOG)
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    outcome = read_outcome(folder, run.seed, retrained="--retrain" in run.words)
    if code == EXIT_OK and outcome is not None:
        return outcome
    write_text(folder / FAILED, _last_words(folder / LOG, code) + "\n")
    return Outcome(seed=run.seed, failed=_last_words(folder / LOG, code))


def _last_words(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:_LAST_WORDS] if said else f"it ended with exit code {code} without a word"


def _told(run: Run, outcome: Outcome) -> str:
    values = ", ".join(f"{name} {value}" for name, value in run.setting.values.items())
    place = f"{values}, seed {run.seed}" if values else f"seed {run.seed}"
    if outcome.failed:
        return f"{place}: failed: {outcome.failed}"
    accuracy = "" if outcome.accuracy is None else f"accuracy {100 * outcome.accuracy:.2f} %, "
    cost = "" if outcome.cost is None else f"{outcome.cost_name} {outcome.cost:.4g}"
    return f"{place}: {accuracy}{cost}"


def in_own_process(words: list[str], log: Path) -> int:
    """Run `python -m search` to its end; an interruption lets it save its state first.

    Raises:
        KeyboardInterrupt: This process was interrupted.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "search", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The search has heard Ctrl-C itself; a kill of this process alone it has not.
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
