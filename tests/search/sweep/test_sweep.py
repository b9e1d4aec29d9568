"""Many searches as one: the grid, what is kept, the means, the front and its figure."""

import csv
import html.parser
import io
import json
from pathlib import Path

import pytest
from scipy import stats

from search.console.progress import Lines, Silent
from search.data.preprocessing import Preparation, write_preparation
from search.errors import UsageError
from search.pipeline.result import CandidateRow, SearchResult, write_result
from search.sweep.grid import Run, parse_axis, parse_seeds, runs_of, settings_of, split_values
from search.sweep.outcome import Outcome, read_outcome
from search.sweep.page import sweep_page
from search.sweep.summary import mean_of, summarise
from search.sweep.work import SweepResult, rows_of, run_sweep
from tests.search.cli.runner import SPACE, Desk, is_refusal

# --- the grid ---------------------------------------------------------------------------


def test_every_combination_has_every_seed_and_a_folder_of_its_own() -> None:
    settings = settings_of(["cost.lambda=0.1,0.2", "ema=0,0.9"], ["target-ms=1,2"])
    runs = runs_of("cpu", "text", settings, [0, 5], ["--data", "D"])
    assert len(settings) == 8
    assert len({run.name for run in runs}) == 16
    words = list(runs[-1].words)
    assert words[:4] == ["--recipe", "cpu", "--data", "D"]
    assert words[4:] == [
        *("--target-ms", "2", "--set", "cost.lambda=0.2", "--set", "ema=0.9"),
        *("--seed", "5"),
    ]
    assert [run.seed for run in runs[:2]] == [0, 5]


def test_a_sweep_of_nothing_but_seeds_is_one_setting() -> None:
    (run,) = runs_of("cpu", "text", settings_of([], []), [3], [])
    assert run.words == ("--recipe", "cpu", "--seed", "3")
    assert run.name.startswith("seed-3-")


def test_another_recipe_or_option_is_another_run() -> None:
    def identity(text: str, *rest: str) -> str:
        (run,) = runs_of("cpu", text, settings_of([], []), [0], rest)
        return run.identity

    assert identity("a") == identity("a")
    assert len({identity("a"), identity("b"), identity("a", "--limit", "5")}) == 3


def test_commas_inside_brackets_and_quotes_divide_no_values() -> None:
    assert split_values('[0.5, 0.75],"a,b",2') == ["[0.5, 0.75]", '"a,b"', "2"]
    assert parse_axis("schedule.milestones=[0.5,0.75],[0.9]", "--set") == (
        "schedule.milestones",
        ["[0.5,0.75]", "[0.9]"],
    )


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,2", [0, 1, 2]), ("0-3", [0, 1, 2, 3]), ("7,1-2", [7, 1, 2])],
)
def test_seeds_are_a_list_or_a_range(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1,1", "2-1", "-1", "1-", "0-99999999", "9" * 40])
def test_what_are_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("sets", "over"),
    [
        (["a"], []),
        (["=1"], []),
        (["a=1,"], []),
        (["a=1,1"], []),
        (["a=1", "a=2"], []),
        ([], ["seed=1,2"]),
        ([], ["output=a,b"]),
        ([f"k{n}={','.join(map(str, range(10)))}" for n in range(5)], []),
    ],
)
def test_axes_that_make_no_grid_are_refused(sets: list[str], over: list[str]) -> None:
    with pytest.raises(UsageError):
        settings_of(sets, over)


# --- the runs ------------------------------------------------------------------------------


def searched(words: list[str], *, accuracy: float, predicted_us: float | None = 2000.0) -> None:
    """The files that a search with these words leaves."""
    folder = Path(words[words.index("-o") + 1]).parent
    chosen = CandidateRow(
        origin="argmax",
        choices=("skip",),
        predicted_us=predicted_us,
        low_us=predicted_us,
        high_us=predicted_us,
        meets_target=True,
        accuracy=accuracy,
        flops=3_000_000,
        params=1000,
    )
    result = SearchResult(
        architecture="net.json",
        algorithm="fbnet",
        chosen=chosen,
        candidates=(chosen,),
        cost="latency" if predicted_us else "flops",
        target_us=None,
        probability=None,
        table_id="",
        table="",
        device="",
        table_source="none",
        space="",
        data="",
        recipe={},
        seed=0,
        seconds=1.0,
    )
    write_result(result, folder / "net.result.json")
    if "--retrain" in words:
        note = Preparation(
            data="d",
            classes=("a", "b"),
            resolution=8,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            test_top1=0.75,
        )
        write_preparation(note, folder / "net.pt")


class Searches:
    """Stands in for the processes: remembers words, fails or is interrupted where told."""

    def __init__(self, *codes: int) -> None:
        self.codes, self.words = list(codes), []  # type: ignore[var-annotated]

    def __call__(self, words: list[str], log: Path) -> int:
        self.words.append(words)
        code = self.codes.pop(0) if self.codes else 0
        if code:
            log.write_text("a line\nIt went wrong.\n")
            (log.parent / "net.run").mkdir(exist_ok=True)
            (log.parent / "net.run" / "last.pt").write_bytes(b"state")
        else:
            searched(words, accuracy=0.5 + 0.01 * len(self.words))
        return code


def four_runs() -> list[Run]:
    return runs_of("cpu", "text", settings_of(["a=1,2"], []), [0, 1], [])


def test_a_failed_run_loses_none_of_the_others_and_is_told(tmp_path: Path) -> None:
    result = run_sweep(four_runs(), tmp_path, Silent(), Searches(0, 2, 0, 0))
    assert [outcome.failed for _, outcome in result.runs] == ["", "It went wrong.", "", ""]
    assert [(row.runs, row.failed) for row in result.rows] == [(1, 1), (2, 0)]
    assert rows_of(result.rows)[0]["accuracy_95"] is None


def test_finished_runs_are_not_repeated_and_failed_ones_go_on(tmp_path: Path) -> None:
    first = run_sweep(four_runs(), tmp_path, Silent(), Searches(0, 1, 0, 0))
    again = Searches()
    second = run_sweep(four_runs(), tmp_path, Silent(), again)
    assert len(again.words) == 1
    assert again.words[0][-1] == "--resume"
    assert [outcome.failed for _, outcome in second.runs] == [""] * 4
    assert second.runs[0] == first.runs[0]
    nothing = Searches()
    assert run_sweep(four_runs(), tmp_path, Silent(), nothing) == second
    assert nothing.words == []


def test_more_seeds_and_values_add_runs_to_the_finished_ones(tmp_path: Path) -> None:
    run_sweep(four_runs(), tmp_path, Silent(), Searches())
    more = runs_of("cpu", "text", settings_of(["a=1,2,3"], []), [0, 1, 2], [])
    searches = Searches()
    run_sweep(more, tmp_path, Silent(), searches)
    assert len(searches.words) == 5


def test_an_interrupted_sweep_stops_and_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(four_runs(), tmp_path, Silent(), Searches(0, 130))
    searches = Searches()
    run_sweep(four_runs(), tmp_path, Silent(), searches)
    assert [words[-1] == "--resume" for words in searches.words] == [True, False, False]


def test_a_trained_networks_accuracy_is_that_of_the_test_images(tmp_path: Path) -> None:
    runs = runs_of("cpu", "text", settings_of([], []), [0], ["--retrain"])
    ((_, outcome),) = run_sweep(runs, tmp_path, Silent(), Searches()).runs
    assert outcome.accuracy == 0.75
    folder = tmp_path / runs[0].name
    (folder / "net.images.json").unlink()
    assert read_outcome(folder, 0, retrained=True) is None
    assert read_outcome(folder, 0, retrained=False) is not None


def test_each_run_is_told_as_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_sweep(four_runs(), tmp_path, Lines(), Searches(0, 2, 0, 0))
    said = capsys.readouterr().err
    assert "sweep: 4 runs, 0 of them finished before" in said
    assert "a 1, seed 0: accuracy 51.00 %, predicted_ms 2" in said
    assert "a 1, seed 1: failed: It went wrong." in said


# --- means, front, figure -------------------------------------------------------------------


def test_the_interval_is_students() -> None:
    values = [0.5, 0.6, 0.55, 0.7]
    found = mean_of(values)
    low, high = stats.t.interval(0.95, 3, loc=0.5875, scale=stats.sem(values))
    assert found.value == pytest.approx(0.5875)
    assert found.half_width == pytest.approx((high - low) / 2)
    assert mean_of([0.5]).half_width is None
    assert mean_of([]) is None


def outcomes(cost: float, *accuracies: float, name: str = "predicted_ms") -> list[Outcome]:
    return [
        Outcome(seed=seed, accuracy=accuracy, cost=cost, cost_name=name)
        for seed, accuracy in enumerate(accuracies)
    ]


def test_the_front_holds_what_no_other_setting_beats() -> None:
    rows = summarise(
        [
            ({"a": "1"}, outcomes(1.0, 0.5, 0.6)),
            ({"a": "2"}, outcomes(2.0, 0.5, 0.6)),  # dearer and no better
            ({"a": "3"}, outcomes(2.0, 0.7, 0.8)),
            ({"a": "4"}, outcomes(3.0, 0.7, 0.7)),  # dearer and worse
            ({"a": "5"}, [Outcome(seed=0, failed="no")]),
            ({"a": "6"}, outcomes(9.0, 0.1, name="mflops")),  # of another cost
        ]
    )
    assert [row.on_front for row in rows] == [True, False, True, False, False, True]


class Shapes(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def shapes(page: str, tag: str) -> list[dict[str, str | None]]:
    parser = Shapes()
    parser.feed(page)
    return [attributes for name, attributes in parser.tags if name == tag]


def test_the_figure_has_a_dot_a_setting_bars_of_seeds_and_a_line_of_the_front() -> None:
    rows = summarise(
        [
            ({"a": "<1>"}, outcomes(1.0, 0.5, 0.6)),
            ({"a": "2"}, outcomes(2.0, 0.7, 0.8)),
            ({"a": "3"}, outcomes(3.0, 0.4)),
            ({"a": "4"}, [Outcome(seed=0, failed="no")]),
        ]
    )
    page = sweep_page(rows, "A <sweep>", "accuracy")
    assert len(shapes(page, "circle")) == 3
    assert len(shapes(page, "path")) == 2
    (line,) = shapes(page, "polyline")
    assert len(line["points"].split()) == 2
    assert "<1>" not in page
    assert "predicted latency, ms" in page
    for circle in shapes(page, "circle"):
        assert 0 < float(circle["cx"]) < 440
        assert 0 < float(circle["cy"]) < 250


def test_a_figure_of_nothing_says_so() -> None:
    assert "No run has finished" in sweep_page([], "Sweep", "accuracy")


def test_rows_have_equal_columns_whatever_failed() -> None:
    rows = rows_of(
        summarise([({"a": "1"}, [Outcome(seed=0, failed="x")]), ({"a": "2"}, outcomes(1.0, 0.5))])
    )
    assert [list(row) for row in rows] == [list(rows[0])] * 2
    assert "predicted_ms" in rows[0]
    json.dumps(SweepResult(runs=(), rows=()).document())


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def exact(desk: Desk) -> list[str]:
    """Words of searches that train nothing."""
    import numpy as np

    from search.selection.scores import dump_scores, from_probabilities

    widest = max(len(layer.choices) for layer in SPACE.layers)
    chances = np.random.default_rng(0).uniform(0.1, 1, (len(SPACE.layers), widest))
    for row, layer in zip(chances, SPACE.layers, strict=True):
        row[len(layer.choices) :] = 0
    scores = from_probabilities(chances / chances.sum(1, keepdims=True), SPACE, "made up")
    desk.path("scores.json").write_text(dump_scores(scores))
    words = ["--algorithm", "exact", "--scores", str(desk.path("scores.json"))]
    return [*words, "--table", str(desk.table)]


def test_a_sweep_of_real_searches_prints_its_table_and_keeps_its_files(desk: Desk) -> None:
    words = ["sweep", "cpu", "--over", "target-ms=0.001,6", "--seeds", "0", *exact(desk)]
    ended = desk.call(*words, "-o", str(desk.path("sweep")), "--format", "csv")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [(row["target-ms"], row["runs"], row["failed"]) for row in rows] == [
        ("0.001", "0", "1"),
        ("6", "1", "0"),
    ]
    assert float(rows[1]["predicted_ms"]) <= 6
    assert "target-ms 0.001, seed 0: failed: " in ended.err
    kept = desk.json("sweep/sweep.json")
    assert len(kept["runs"]) == 2
    assert desk.path("sweep/sweep.html").read_text().startswith("<!doctype html>")


def test_a_sweep_of_which_nothing_finished_ends_with_1(desk: Desk) -> None:
    words = ["sweep", "cpu", "--seeds", "0", "--target-ms", "0.001", *exact(desk)]
    ended = desk.call(*words, "-o", str(desk.path("sweep")))
    assert ended.code == 1
    assert "failed" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "cost.lamda=1,2"], "The nearest is cost.lambda"),
        (["--set", "cost.lambda=1,-2"], "out of range"),
        (["--seed", "3"], "--seed is set by the sweep itself"),
        (["--over", "limit=1,2", "--limit", "3"], "--limit is set by the sweep itself"),
        (["--no-such", "3"], "No such option"),
        (["--over", "epochs=1,x"], "Invalid value"),
        (["train"], "'train' is no option of a search"),
        (["--seeds", "a"], "are no seeds"),
    ],
)
def test_what_every_search_would_refuse_is_refused_before_the_first(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call("sweep", "cpu", *words, "-o", str(desk.path("sweep")))
    assert is_refusal(ended)
    assert said in ended.err
    assert not desk.path("sweep").exists()


def test_a_sweep_under_torchrun_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "Start it without torchrun" in desk.call("sweep", "cpu").err


def test_a_dry_run_lists_the_searches_and_starts_none(desk: Desk) -> None:
    words = ["sweep", "cpu", "--set", "ema=0,0.9", "--seeds", "0-1", "--dry-run"]
    ended = desk.call(*words, "-o", str(desk.path("sweep")))
    assert (ended.code, len(ended.out.splitlines())) == (0, 4)
    assert not desk.path("sweep").exists()
