"""The page of a run: curves of its search and retraining, candidates, and the network found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from search.architecture import Architecture, read_architecture
from search.console.figures import heading, page
from search.console.messages import counted
from search.documents import read_text, validate_json
from search.errors import UsageError
from search.pipeline.live.drawn import candidates_figure, network_figure, outcome_words
from search.pipeline.live.note import NOTE, RunNote, read_note
from search.pipeline.result import SearchResult
from search.pipeline.run_folder import RETRAIN
from search.training.run.plot import curve_figures
from search.training.run.trace import TraceLine, read_trace

TRACE = "trace.jsonl"
# Of a finished run, in its folder.
PAGE = "trace.html"
_RESULT = TypeAdapter(SearchResult)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What a run's folder says now; a part that is not there yet, or only half, is left out."""

    search: tuple[TraceLine, ...] = ()
    retraining: tuple[TraceLine, ...] = ()
    note: RunNote | None = None
    result: SearchResult | None = None
    network: Architecture | None = None


def read_run(run: Path) -> RunState:
    """The state of a run at this moment, from its folder or from a trace alone.

    Raises:
        UsageError: There is no run, or a trace that is given is none.
    """
    begun = "Name the folder of a run that has begun (<output>.run of a search)."
    if not run.exists():
        raise UsageError(f"There is no {run}.", begun)
    if not run.is_dir():
        return RunState(search=read_trace(run))
    traces = [path for path in (run / TRACE, run / RETRAIN / TRACE) if path.is_file()]
    if not traces and not (run / NOTE).is_file():
        raise UsageError(f"{run} holds no trace.", begun)
    note = _ready(lambda: read_note(run))
    return RunState(
        search=_ready(lambda: read_trace(run / TRACE)) or (),
        retraining=_ready(lambda: read_trace(run / RETRAIN / TRACE)) or (),
        note=note,
        result=None if note is None else _ready(lambda: _result(_written(run, note.result))),
        network=None
        if note is None
        else _ready(lambda: read_architecture(_written(run, note.architecture))),
    )


def _written(run: Path, name: str) -> Path:
    """A file that the run has written since it began, not one that lay there before.

    Raises:
        UsageError: There is none yet.
    """
    path = run / name
    try:
        if path.stat().st_mtime_ns >= (run / NOTE).stat().st_mtime_ns:
            return path
    except OSError:
        pass
    raise UsageError(f"{path} is not written yet.")


def _result(path: Path) -> SearchResult:
    return validate_json(read_text(path), _RESULT)


def _ready(read: Callable[[], Value | None]) -> Value | None:
    """What a file holds; None while it is not there, or is being written anew."""
    try:
        return read()
    except (UsageError, ValueError):
        return None


def run_page(
    state: RunState, title: str, *, target_ms: float | None = None, refresh_s: float | None = None
) -> str:
    """A complete HTML page; nothing in it is loaded from elsewhere.

    Args:
        state: From `read_run`.
        title: The heading.
        target_ms: Latency to be met, drawn as a line; the run's own where None.
        refresh_s: A page that is served: loaded again after so many seconds, with links to the
            numbers as CSV.
    """
    target = target_ms if target_ms is not None or state.note is None else state.note.target_ms
    parts = []
    found = "" if state.result is None else candidates_figure(state.result)
    found += "" if state.network is None else network_figure(state.network)
    if found:
        parts.append(heading("What was found") + found)
    if state.retraining:
        parts.append(heading("Training of the network") + curve_figures(state.retraining))
    if state.search:
        name = "Search" if state.note is not None else "Training"
        parts.append(heading(name) + curve_figures(state.search, target))
    links = {"search": "trace.csv"} if state.search else {}
    links |= {"training": "retrain.csv"} if state.retraining else {}
    body = "\n".join(parts) or "<p>The first epoch has not ended yet.</p>"
    note = "; ".join(_words(state))
    return page(title, note, body, refresh_s=refresh_s, links=links if refresh_s else {})


def _words(state: RunState) -> list[str]:
    """What the page is about, in phrases."""
    words = []
    for name, lines in (("search", state.search), ("retraining", state.retraining)):
        if lines:
            epochs = counted(len({line.epoch for line in lines}), "epoch")
            minutes = sum(line.seconds for line in lines) / 60
            label = name if state.note is not None else "training"
            words.append(f"{label}: {epochs}, {minutes:.1f} minutes")
    return [*words, *(outcome_words(state.result) if state.result else ())]
