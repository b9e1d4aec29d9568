"""Recipes on the command line: listed, shown, copied, changed by single values."""

import csv
import io
import json
from pathlib import Path

import pytest

from search.recipes.document import recipe_names, recipe_source
from search.training.run.checkpoint import parse_checkpoint
from tests.search.cli.runner import Desk, is_refusal


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_recipes_are_listed_with_their_methods_and_sources(desk: Desk) -> None:
    ended = desk.call("recipes", "--format", "csv")
    assert (ended.code, ended.err) == (0, "")
    rows = {row["recipe"]: row for row in csv.DictReader(io.StringIO(ended.out))}
    assert tuple(rows) == recipe_names()
    assert rows["cpu"]["searches"] == "fbnet fbnetv2 fp-nas parsec single-path"
    assert rows["single-path"]["train_epochs"] == "350"
    assert "1904.02877" in rows["single-path"]["source"]


@pytest.mark.parametrize("verb", [[], ["train", "FBNet-C"]])
def test_the_recipe_list_lists_them_too(desk: Desk, verb: list[str]) -> None:
    ended = desk.call(*verb, "--recipe", "list", "--format", "json")
    assert ended.code == 0, ended.err
    assert [row["recipe"] for row in json.loads(ended.out)] == list(recipe_names())


def test_a_recipe_is_shown_as_its_file_and_copied(desk: Desk) -> None:
    assert desk.call("recipes", "show", "fbnet").out == recipe_source("fbnet")
    copy = desk.path("mine.toml")
    assert desk.call("recipes", "show", "fbnet", "-o", str(copy)).code == 0
    assert copy.read_text() == recipe_source("fbnet")
    assert desk.call("recipes", "show", str(copy)).out == recipe_source("fbnet")
    assert is_refusal(desk.call("recipes", "show", "fbnet", "-o", str(copy)))
    assert is_refusal(desk.call("recipes", "show", "fbent"))
    assert is_refusal(desk.call("recipes", "show", "fbnet", "-o", str(desk.path("mine.txt"))))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipe", "fbent"], "Known: cpu, cpu-judged, fbnet"),
        (["--recipe", "nowhere.toml"], "Cannot read nowhere.toml"),
        (["--set", "epoch=3"], "The nearest is epochs"),
        (["--set", "epochs"], "is no key=value"),
        (["--set", "train.ema=2"], "train.ema is out of range"),
        (["--recipe", "fp-nas", "--algorithm", "fbnet"], "says nothing of fbnet"),
        (["--algorithm", "parsec", "--set", "draws.fixed=0"], "parsec.draws.fixed is out of range"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_a_sentence_before_any_work(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call(*desk.words(*words))
    assert is_refusal(ended)
    assert said in ended.err
    assert not desk.path("arch.run").exists()


def test_a_training_takes_a_file_of_ones_own_and_single_values(desk: Desk) -> None:
    mine = desk.path("mine.toml")
    mine.write_text(
        'extends = "cpu"\n[train]\nema = 0.5\nlabel_smoothing = 0.0\n'
        'augment = { policy = "autoaugment-cifar", erasing = 0.5, mixup = 0.2 }\n'
    )
    from search.architecture import write_architecture
    from tests.search.training.test_retrain import NETWORK

    write_architecture(NETWORK, desk.path("net.json"))
    words = ["train", str(desk.path("net.json")), *desk.data(), "--recipe", str(mine)]
    words += ["--set", "epochs=2", "--set", "validation.keep=best", "--precision", "float16"]
    words += ["--set", "optimizer.clip_norm=2", "--set", "sync_batch_norm=true"]
    ended = desk.call(*words, "-o", str(desk.path("net.pt")), "--format", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["best_epoch"] in (1, 2)
    assert "epoch 2/2 validation: loss" in ended.err
    identity = parse_checkpoint(desk.path("net.train/last.pt").read_bytes()).identity
    assert json.loads(identity.recipe)["policy"] == "autoaugment-cifar"
    settings = json.loads(identity.settings)
    assert (settings["clip_norm"], settings["synchronous"]) == (2.0, True)


def test_a_teacher_of_other_classes_is_refused_on_the_command_line(desk: Desk) -> None:
    from search.architecture import write_architecture
    from tests.search.training.test_retrain import NETWORK

    write_architecture(NETWORK, desk.path("net.json"))
    words = ["train", str(desk.path("net.json")), *desk.data(), "-o", str(desk.path("net.pt"))]
    words += ["--set", "distillation.teacher=FBNet-C", "--set", "distillation.weights=c.pt"]
    ended = desk.call(*words)
    assert ended.code == 2
    assert "The teacher FBNet-C tells 1000 classes apart; digits has 10." in ended.err
