"""The trace file, its page of plots, and what the user is told."""

import csv
import html.parser
import io
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import search.console.progress
from search.console.progress import Bars, Lines, Silent, make_progress
from search.errors import StorageError, UsageError
from search.pipeline.live.page import RunState, run_page
from search.training.progress import RunLength, TrainingProgress, describe
from search.training.protocol import StepReport
from search.training.run.plot import curve_figures, panels, trace_csv
from search.training.run.trace import TraceFile, TraceLine, read_trace
from tests.search.training.standins import TinySearch, run

NUMBERS = st.floats(-1e6, 1e6)


def line(epoch: int = 0, **changes: object) -> TraceLine:
    values: dict[str, object] = {
        "epoch": epoch,
        "phase": "weights",
        "loss": 2.5 - 0.1 * epoch,
        "cross_entropy": 2.0,
        "accuracy": 0.25,
        "images": 100,
        "images_per_s": 50.0,
        "seconds": 2.0,
        "memory_mb": 300.0,
        "latency_us": 1500.0,
        "progress": {"entropy": 3.0, "temperature": 5.0, "expected_latency_us": 2500.0},
    }
    return TraceLine(**{**values, **changes})  # type: ignore[arg-type]


@given(NUMBERS, st.none() | NUMBERS, st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3))
def test_lines_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    loss: float,
    latency_us: float | None,
    progress: dict[str, float],
) -> None:
    trace = TraceFile(tmp_path_factory.mktemp("trace") / "sub/trace.jsonl")
    written = (line(loss=loss, latency_us=latency_us, progress=progress), line(1))
    trace.begin("fbnet")
    for one in written:
        trace.append(one)
    assert read_trace(trace.path) == written


def test_numbers_that_are_none_become_null_and_the_file_stays_json(tmp_path: Path) -> None:
    trace = TraceFile(tmp_path / "trace.jsonl")
    trace.begin("fbnet")
    trace.append(line(progress={"entropy": float("nan"), "latency_us": float("inf")}))
    for text in trace.path.read_text().splitlines():
        json.loads(text, parse_constant=pytest.fail)
    assert read_trace(trace.path)[0].progress == {"entropy": None, "latency_us": None}


def test_cutting_forgets_what_came_after(tmp_path: Path) -> None:
    trace = TraceFile(tmp_path / "trace.jsonl")
    trace.begin("fbnet")
    trace.append(line(0))
    size = trace.size()
    trace.append(line(1))
    assert trace.cut(size)
    assert [x.epoch for x in read_trace(trace.path)] == [0]
    assert not trace.cut(size + 1)


@pytest.mark.parametrize("removed", [1, 5, 40])
def test_a_line_cut_off_at_the_end_is_left_out(removed: int, tmp_path: Path) -> None:
    trace = TraceFile(tmp_path / "trace.jsonl")
    trace.begin("fbnet")
    trace.append(line(0))
    trace.append(line(1))
    trace.cut(trace.size() - removed)
    assert [x.epoch for x in read_trace(trace.path)] == [0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not a trace"),
        ("hello\n", "not a trace"),
        ("[1]\n", "not a trace"),
        ('{"kind": "plan", "schema_version": 1}\n', "not a trace"),
        ('{"kind": "trace", "schema_version": 2}\n', "newer than 1"),
        ('{"kind": "trace", "schema_version": 1}\n{"epoch": 1}\n', "damaged trace"),
        ('{"kind": "trace", "schema_version": 1}\n\n', "damaged trace"),
    ],
)
def test_what_is_no_trace_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_trace(path)


def test_a_missing_trace_is_refused_and_an_unwritable_one_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        read_trace(tmp_path / "none.jsonl")
    with pytest.raises(StorageError, match="Cannot write"):
        TraceFile(tmp_path).append(line())


# --- plots -----------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """Counts tags, and holds that all are closed in order."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_shows_every_quantity_and_loads_nothing(tmp_path: Path) -> None:
    lines = run(TinySearch(epochs=3), tmp_path / "run")
    page = run_page(RunState(search=tuple(lines)), "a <search>")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen.count("svg") == len(panels(lines)) == 9
    assert tags.seen.count("circle") == sum(
        len(p) for x in panels(lines) for p in x.curves.values()
    )
    assert "a &lt;search&gt;" in page
    assert not re.search(r"https?://|<script|@import|url\(", page)


def test_panels_hold_the_numbers_of_their_phase() -> None:
    lines = [line(0), line(0, phase="theta", loss=9.0), line(1, progress={"test_accuracy": 0.5})]
    found = {panel.title: panel.curves for panel in panels(lines)}
    assert found["Loss"] == {"weights": [(1, 2.5), (2, 2.4)], "theta": [(1, 9.0)]}
    assert found["Accuracy, %"]["test"] == [(2, 50.0)]
    assert found["Expected latency, ms"]["weights"] == [(1, 2.5)]
    assert "Latency term, ms" in found


def test_what_no_line_has_is_not_drawn() -> None:
    titles = {panel.title for panel in panels([line(latency_us=None, progress={"entropy": None})])}
    assert not titles & {"Latency term, ms", "Entropy"}


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=30))
@example(values=[5e-324])
@example(values=[0.0, 5e-324])
@example(values=[1.0, math.nextafter(1.0, 2.0)])
def test_any_finite_numbers_can_be_drawn_inside_the_picture(values: list[float]) -> None:
    page = curve_figures([line(epoch, loss=value) for epoch, value in enumerate(values)])
    assert "nan" not in page.lower().replace("nance", "")
    for x, y in re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', page):
        assert 0 <= float(x) <= 440
        assert 0 <= float(y) <= 250


# --- what the user is told --------------------------------------------------------

REPORT = StepReport(loss=1.0, cross_entropy=1.0, correct=1, images=2)
LENGTH = RunLength(algorithm="fbnet", epochs=10, steps=100, done=20)


def test_a_line_for_people_has_all_that_matters() -> None:
    text = describe(line(2), 10)
    expected = (
        "epoch 3/10 weights: loss 2.3000, accuracy 25.0 %, entropy 3, temperature 5, "
        "expected latency 2.500 ms, 50 images/s"
    )
    assert text == expected


def test_lines_go_to_standard_error_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 100.0, 140.0])
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(search.console.progress, "time", clock)
    progress = TrainingProgress(Lines())
    progress.started(LENGTH)
    for _ in range(20):
        progress.stepped(REPORT)
    progress.measured(line())  # 20 steps in 40 s, 60 to go
    found = capsys.readouterr()
    assert found.out == ""
    assert "fbnet: step 20 of 100, 10 epochs" in found.err
    assert found.err.endswith("50 images/s, 2 min left\n")


def test_the_last_line_has_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    run(TinySearch(epochs=1), progress=TrainingProgress(Lines()))
    assert "left" not in capsys.readouterr().err


def test_a_bar_follows_the_steps_and_gives_the_terminal_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Bars() as progress:
        run(TinySearch(epochs=2), progress=TrainingProgress(progress))
    found = capsys.readouterr()
    assert found.out == ""
    assert "epoch 2/2 theta" in found.err
    assert "12/12" in found.err


def test_quiet_and_a_pipe_choose_their_progress() -> None:
    assert type(make_progress(quiet=True)) is Silent
    assert type(make_progress()) is Lines


# --- watched while it grows --------------------------------------------------


def test_the_target_is_a_line_in_the_plots_of_latencies_alone(tmp_path: Path) -> None:
    one = line()
    drawn = {panel.title: panel.target for panel in panels([one], 3.0)}
    assert drawn["Expected latency, ms"] == 3.0
    assert drawn["Loss"] is None
    assert "target 3" in curve_figures([one], 3.0)
    assert "target" not in curve_figures([one])


def test_csv_has_a_column_for_every_number_of_every_phase() -> None:
    lines = [line(progress={"a": 1.0}), line(1, progress={"b": None})]
    table = list(csv.DictReader(io.StringIO(trace_csv(lines))))
    assert [(row["epoch"], row["a"], row["b"]) for row in table] == [
        ("0", "1.0", ""),
        ("1", "", ""),
    ]
    assert float(table[0]["loss"]) == line().loss
