"""The page of a run: curves, candidates and network, while it goes on and afterwards."""

import contextlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.errors import UsageError
from search.pipeline.live.drawn import candidates_figure, network_figure
from search.pipeline.live.note import NOTE, read_note
from search.pipeline.live.page import read_run, run_page
from search.pipeline.live.serve import serve
from search.training.run.trace import TraceFile
from tests.search.cli.conftest import Searched, searched
from tests.search.cli.runner import TARGET_MS
from tests.search.training.test_trace import line

__all__ = ["searched"]


@contextlib.contextmanager
def served(run: Path) -> Iterator[Callable[[str], str]]:
    """A run's page on a free port, and the way to ask for it."""
    with serve(run, 0, target_ms=3.0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def ask(path: str) -> str:
            asked = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
            asked.request("GET", path)
            answer = asked.getresponse()
            text = answer.read().decode()
            asked.close()
            return text if answer.status == 200 else str(answer.status)

        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


def test_a_watched_run_shows_each_epoch_once_it_is_written(tmp_path: Path) -> None:
    trace = TraceFile(tmp_path / "trace.jsonl")
    trace.begin("fbnet")
    trace.append(line())
    with served(tmp_path) as ask:
        assert "1 epoch," in ask("/")
        trace.append(line(1))
        page = ask("/")
        assert "2 epochs" in page
        assert 'http-equiv="refresh"' in page
        assert len(ask("/trace.csv").splitlines()) == 3
        assert ask("/../etc/passwd") == "404"
        retrain = TraceFile(tmp_path / "retrain" / "trace.jsonl")
        retrain.begin("train")
        retrain.append(line(phase="training"))
        assert "training" in ask("/retrain.csv")
        assert "Training of the network" in ask("/")


def test_a_run_that_has_not_begun_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no trace"):
        serve(tmp_path, 0)


def test_a_finished_search_is_drawn_with_its_target_candidates_network_and_training(
    searched: Searched,
) -> None:
    state = read_run(searched.desk.path("arch.run"))
    assert state.result is not None
    assert state.network is not None
    assert state.note is not None
    assert state.note.target_ms == TARGET_MS
    page = run_page(state, "a run")
    for words in ("What was found", "Training of the network", "Search"):
        assert f"<h2>{words}</h2>" in page
    assert f"target {TARGET_MS:g}<" in page
    assert "trained to" in page
    assert page == searched.desk.path("arch.run/trace.html").read_text().replace(
        _title(searched), "a run"
    )


def _title(searched: Searched) -> str:
    page = searched.desk.path("arch.run/trace.html").read_text()
    return page.partition("<title>")[2].partition("</title>")[0]


def test_every_candidate_is_a_point_and_every_operator_a_bar(searched: Searched) -> None:
    state = read_run(searched.desk.path("arch.run"))
    assert state.result is not None
    assert state.network is not None
    drawn = candidates_figure(state.result)
    assert drawn.count("<title>") == len(state.result.candidates)
    assert drawn.count('r="8"') == sum(
        row == state.result.chosen for row in state.result.candidates
    )
    assert network_figure(state.network).count("<rect") == len(state.network.operators)


def test_a_result_of_an_earlier_search_is_not_shown_as_this_ones(
    searched: Searched, tmp_path: Path
) -> None:
    run, result = searched.desk.path("arch.run"), searched.desk.path("arch.result.json")
    later = (run / NOTE).stat().st_mtime_ns + 10**9
    before = result.stat().st_mtime_ns
    try:
        os.utime(result, ns=(0, 0))
        assert read_run(run).result is None
        os.utime(result, ns=(later, later))
        assert read_run(run).result is not None
    finally:
        os.utime(result, ns=(before, before))


def test_a_damaged_note_is_refused_and_the_page_does_without_it(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_text("[]")
    with pytest.raises(UsageError, match="note on a run"):
        read_note(tmp_path)
    assert "has not ended yet" in run_page(read_run(tmp_path), "x")
