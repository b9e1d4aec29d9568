"""Whatever is wrong is said in a sentence, with the right exit code, before any training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import search.pipeline.methods
import search.pipeline.run
import search.pipeline.train
from search.spaces.registry import make_space
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk, image_folder, is_refusal, write


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be trained."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("training began")

    for kind in (search.pipeline.methods.SharedWeightsSearch, search.pipeline.methods.TrialSearch):
        monkeypatch.setattr(kind, "run", never)
    for module in (search.pipeline.run, search.pipeline.train):
        monkeypatch.setattr(module, "retrain", never)


def left(desk: Desk) -> list[str]:
    """What a refused command left behind, empty folders aside."""
    kept = (path for path in desk.folder.rglob("*") if path.is_file())
    names = (path.relative_to(desk.folder).as_posix() for path in kept)
    return sorted(name for name in names if not name.startswith(("table/", "cache/", "given")))


# --- options -----------------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algorithm", "darts"], "exact, evolution, random"),
        (["--format", "yaml"], "table, json, csv"),
        (["--recipe", "gpu"], "Known:"),
        (["--algorithm", "exact"], "--scores"),
        (["--scores", "scores.json"], "--algorithm exact"),
        (["--algorithm", "exact", "--scores", "nowhere.json"], "nowhere.json"),
        (["--compute", "tpu"], "auto, cpu, cuda"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--device", "cuda:7"], "GPU 7"),
        (["--precision", "int4"], "float32, bfloat16"),
        (["--threads", "0"], "--threads"),
        (["--threads", "4000"], "cores"),
        (["--epochs", "0"], "--epochs"),
        (["--batch", "1"], "--batch"),
        (["--limit", "0"], "--limit"),
        (["--limit", "4"], "at least 10 images"),
        (["--classes", "1"], "--classes"),
        (["--classes", "11"], "there are 10"),
        (["--seed", "-1"], "--seed"),
        (["--learning-rate", "-1"], "--learning-rate"),
        (["--budget", "0"], "--budget"),
        (["--retrain", "--retrain-epochs", "0"], "--retrain-epochs"),
        (["--target-ms", "nan"], "means nothing"),
        (["--target-ms", "soon"], "--target-ms"),
        (["--target-share", "0.5"], "not both"),
        (["--target-share", "1.5"], "--target-share"),
        (["--probability", "1.5"], "probability"),
        (["--probability", "0.9", "--algorithm", "random"], "--probability"),
        (["--data", "nowhere"], "no data at 'nowhere'"),
        (["--table", "nowhere"], "not a table"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_a_wrong_option_is_refused_before_any_training(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call(*desk.words(*words, "--quiet"))
    assert is_refusal(ended), ended
    assert said in ended.err
    assert left(desk) == []


def test_without_a_table_the_option_is_named(desk: Desk) -> None:
    ended = desk.call("--target-ms", "3")
    assert is_refusal(ended)
    assert "--table" in ended.err


@pytest.mark.usefixtures("no_training")
def test_a_target_below_the_fastest_network_is_refused_and_the_fastest_told(desk: Desk) -> None:
    ended = desk.call(*desk.words("--target-ms", "0.2"))
    assert is_refusal(ended)
    assert "The fastest takes" in ended.err


# --- tables ------------------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("source", ["simulated", "imported"])
def test_a_table_that_was_not_measured_ends_with_1(desk: Desk, source: str) -> None:
    desk.table = write(desk.path("given"), source=source)
    ended = desk.call(*desk.words())
    assert (ended.code, ended.out) == (1, "")
    assert f"--allow-{source}" in ended.err


@pytest.mark.usefixtures("no_training")
def test_a_table_without_an_exam_ends_with_1(desk: Desk) -> None:
    desk.table = write(desk.path("given"), exam=None)
    ended = desk.call(*desk.words())
    assert (ended.code, ended.out) == (1, "")
    assert "--allow-unexamined" in ended.err


@pytest.mark.usefixtures("no_training")
def test_a_table_with_missing_operators_is_refused_with_the_command_that_adds_them(
    desk: Desk,
) -> None:
    desk.table = write(desk.path("given"), missing=2)
    ended = desk.call(*desk.words())
    assert is_refusal(ended)
    assert "python -m profiler" in ended.err


@pytest.mark.usefixtures("no_training")
def test_scores_of_another_space_are_refused(desk: Desk, searched: Searched) -> None:
    desk.table = write(desk.path("given"), space=make_space("fbnet-mini"))
    scores = str(searched.desk.path("arch.run/scores.json"))
    ended = desk.call(*desk.words("--algorithm", "exact", "--scores", scores))
    assert is_refusal(ended)
    assert "fbnet-mini-r16" in ended.err
    assert "fbnet-mini-r32" in ended.err


# --- images ------------------------------------------------------------------


def _no_images(root: Path) -> None:
    root.mkdir()


def _one_class(root: Path) -> None:
    image_folder(root, classes=1, each=3)


def _empty_class(root: Path) -> None:
    image_folder(root, classes=2, each=3)
    (root / "empty").mkdir()


def _all_broken(root: Path) -> None:
    image_folder(root, classes=2, each=3)
    for path in (root / "class1").iterdir():
        path.write_bytes(b"no image")


def _a_file(root: Path) -> None:
    root.write_text("no images")


def _too_few(root: Path) -> None:
    image_folder(root, classes=10, each=1)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "make", [_no_images, _one_class, _empty_class, _all_broken, _a_file, _too_few]
)
def test_data_that_cannot_be_learnt_from_are_refused(
    desk: Desk, make: Callable[[Path], None]
) -> None:
    make(desk.path("given"))
    ended = desk.call(*desk.words("--data", str(desk.path("given"))))
    assert is_refusal(ended), ended
    assert left(desk) == []


# --- places ------------------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("arch", "does not end in .json"),
        ("arch.pt", "does not end in .json"),
        ("", "does not end in .json"),
        ("/proc/nowhere/arch.json", "Cannot write to /proc/nowhere"),
        ("/dev/null/arch.json", "Cannot write to /dev/null"),
        ("table/manifest.json/arch.json", "Cannot write to"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, output: str, said: str
) -> None:
    monkeypatch.chdir(desk.folder)
    ended = desk.call(*desk.words("-o", output))
    assert is_refusal(ended)
    assert said in ended.err
    assert left(desk) == []


@pytest.mark.usefixtures("no_training")
def test_a_run_folder_that_cannot_be_written_is_refused(desk: Desk) -> None:
    desk.path("given").write_text("precious")
    ended = desk.call(*desk.words("--run", str(desk.path("given"))))
    assert is_refusal(ended)
    assert "--run" in ended.err
    assert desk.path("given").read_text() == "precious"


def test_a_folder_with_a_run_is_refused_without_resume_and_kept(searched: Searched) -> None:
    desk = searched.desk
    before = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")}
    ended = desk.call(*desk.words())
    assert is_refusal(ended)
    assert "--resume" in ended.err
    assert {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")} == before


# --- the other verbs ---------------------------------------------------------


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["FBNet-Z"], "Known: FBNet-A"),
        (["nowhere.json"], "nowhere.json"),
        (["FBNet-C", "-o", "net.json"], "does not end in .pt"),
        (["FBNet-C", "-o", "/proc/nowhere/net.pt"], "Cannot write"),
        (["FBNet-C", "--recipe", "gpu"], "Known:"),
        (["FBNet-C", "--epochs", "0"], "--epochs"),
        ([], "architecture"),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(desk.folder)
    ended = desk.call("train", *words)
    assert is_refusal(ended)
    assert said in ended.err
    assert left(desk) == []


@pytest.mark.parametrize("text", ["{}", "[]", "precious", '{"schema_version": 9}'])
def test_what_is_no_architecture_is_refused(desk: Desk, text: str) -> None:
    desk.path("given.json").write_text(text)
    ended = desk.call("train", str(desk.path("given.json")), "-o", str(desk.path("net.pt")))
    assert is_refusal(ended)


@pytest.mark.parametrize("name", ["nowhere", "nowhere/trace.jsonl", "table", "table/manifest.json"])
def test_what_is_no_trace_is_not_drawn(desk: Desk, name: str) -> None:
    ended = desk.call("plot", str(desk.path(name)))
    assert is_refusal(ended)
    assert "trace" in ended.err


def test_a_run_that_has_finished_no_epoch_is_drawn_as_an_empty_page(desk: Desk) -> None:
    header = {"kind": "trace", "schema_version": 1, "algorithm": "fbnet"}
    desk.path("given.jsonl").write_text(json.dumps(header) + "\n")
    ended = desk.call("plot", str(desk.path("given.jsonl")))
    assert (ended.code, ended.err) == (0, "")
    assert "The first epoch has not ended yet." in desk.path("given.html").read_text()


@pytest.mark.parametrize(
    ("output", "said"),
    [("page.pdf", "does not end in .html"), ("/proc/nowhere/page.html", "Cannot write")],
)
def test_a_page_that_cannot_be_written_is_refused(
    searched: Searched, output: str, said: str
) -> None:
    ended = searched.desk.call("plot", str(searched.desk.path("arch.run")), "-o", output)
    assert is_refusal(ended)
    assert said in ended.err


def test_an_unknown_verb_is_refused(desk: Desk) -> None:
    ended = desk.call("frobnicate")
    assert is_refusal(ended)
    assert "frobnicate" in ended.err
