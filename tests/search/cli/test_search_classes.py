"""A search's result carries to any number of classes: what is trained, selected, written, said."""

import json
from pathlib import Path

import pytest
import torch

from search.architecture import read_architecture
from search.spaces.registry import make_space
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk, write

FOUR = make_space("fbnet-mini", resolution=16, classes=4)


@pytest.fixture(scope="session")
def net(searched: Searched) -> Path:
    """A network of ten classes that a search found."""
    return searched.desk.path("arch.json")


def test_a_network_is_trained_on_as_many_classes_as_the_images_have(desk: Desk, net: Path) -> None:
    weights = desk.path("small.pt")
    words = ["--classes", "3", "--epochs", "1", *desk.data(30), "-o", str(weights)]
    ended = desk.call("train", str(net), *words)
    assert ended.code == 0, ended.err
    assert "it gets a classifier for 3" in " ".join(ended.err.split())
    network = read_architecture(desk.path("small.json"))
    assert network.classes == 3
    assert network.operators[:-1] == read_architecture(net).operators[:-1]
    state = torch.load(weights, weights_only=True)
    assert list(state.values())[-1].shape == (3,)
    assert "small.json, with 3 classes" in ended.out


def test_a_file_of_another_network_beside_the_weights_is_left_alone(desk: Desk, net: Path) -> None:
    own = desk.path("net.json")
    own.write_text(net.read_text())
    words = ["--classes", "3", "--epochs", "1", *desk.data(30), "-o", str(desk.path("net.pt"))]
    ended = desk.call("train", str(own), *words, "--format", "json")
    assert ended.code == 0, ended.err
    assert own.read_text() == net.read_text()
    assert json.loads(ended.out)["architecture"] == str(desk.path("net-c3.json"))
    assert read_architecture(desk.path("net-c3.json")).classes == 3


def test_a_search_on_some_classes_trains_its_network_on_all(desk: Desk) -> None:
    words = desk.words("--classes", "3", "--retrain", "--retrain-epochs", "1", "--epochs", "1")
    ended = desk.call(*words)
    assert ended.code == 0, ended.err
    assert "3 of 10 classes" in " ".join(ended.err.split())
    assert read_architecture(desk.path("arch.json")).classes == 10
    assert list(torch.load(desk.path("arch.pt"), weights_only=True).values())[-1].shape == (10,)
    result = desk.json("arch.result.json")
    assert (result["classes"], result["priced_classes"]) == (10, None)


def test_images_of_other_classes_than_the_table_are_searched_and_the_price_is_told(
    desk: Desk,
) -> None:
    desk.table = write(desk.path("four"), space=FOUR)
    ended = desk.call(*desk.words("--algorithm", "random", "--budget", "1", "--epochs", "1"))
    assert ended.code == 0, ended.err
    said = " ".join(ended.err.split())
    assert "The images have 10 classes, and the table no classifier of as many" in said
    assert "1 of 1 candidate is at chance level (10.0%): its accuracy means nothing" in said
    assert "classes    10; the table prices a classifier of" in ended.out
    network = read_architecture(desk.path("arch.json"))
    assert (network.classes, network.space) == (10, make_space("fbnet-mini", resolution=16).spec)
    result = desk.json("arch.result.json")
    assert (result["classes"], result["priced_classes"]) == (10, 4)
    assert result["chosen"]["params"] == network.params


@pytest.mark.parametrize("verb", ["exact", "front"])
def test_scores_select_by_a_table_of_other_classes(
    desk: Desk, searched: Searched, verb: str
) -> None:
    table = write(desk.path("four"), space=FOUR)
    scores = str(searched.desk.path("arch.run/scores.json"))
    words = ["--table", str(table), "--scores", scores, "--target-ms", "6"]
    if verb == "exact":
        ended = desk.call(*words, "--algorithm", "exact", "-o", str(desk.path("one.json")))
    else:
        ended = desk.call("front", *words, "-o", str(desk.folder))
    assert ended.code == 0, ended.err
    name = "one.json" if verb == "exact" else "front-1.json"
    assert read_architecture(desk.path(name)).classes == 4


def test_a_space_without_a_table_takes_the_classes_of_the_images(desk: Desk) -> None:
    words = ["--space", FOUR.spec, "--cost", "params", "--target-mparams", "0.09"]
    words += ["--algorithm", "random", "--budget", "1", "--epochs", "1", *desk.data()]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("arch.json"))
    assert network.classes == 10
    assert network.params <= 90_000
