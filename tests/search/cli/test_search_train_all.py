"""`search train FOLDER --best`: all candidates are trained, the best is kept, and it resumes."""

import json
from pathlib import Path

import pytest
import torch

import search.pipeline.networks.train_all as train_all
from search.architecture import read_architecture, write_architecture
from search.data.open import open_data
from search.errors import GateFailed, UsageError
from search.spaces.registry import make_space
from search.training.retrain import retrain
from tests.search.cli.runner import Desk, is_refusal

SPACE = make_space("fbnet-mini", resolution=16)


@pytest.fixture
def folder(desk: Desk) -> Path:
    """Two small networks, as a search leaves its candidates."""
    for number, choice in ((2, 0), (10, 4)):
        network = SPACE.architecture(
            [layer.choices[choice].name for layer in SPACE.layers], f"candidate-{number}"
        )
        write_architecture(network, desk.path(f"candidates/candidate-{number}.json"))
    return desk.path("candidates")


def words(desk: Desk, folder: Path, *more: str) -> list[str]:
    out = str(desk.path("net.pt"))
    return ["train", str(folder), "--best", "--epochs", "2", *desk.data(100), "-o", out, *more]


def test_the_best_on_images_held_out_is_written_as_a_single_training_is(
    desk: Desk, folder: Path
) -> None:
    ended = desk.call(*words(desk, folder, "--format", "json"))
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    first, second = said["networks"]
    assert first["accuracy_percent"] >= second["accuracy_percent"]
    assert [first["chosen"], second["chosen"]] == [True, False]
    assert {first["network"], second["network"]} == {"candidate-2", "candidate-10"}
    assert "10 images held out" in " ".join(ended.err.split())
    chosen = read_architecture(folder / f"{first['network']}.json")
    assert read_architecture(desk.path("net.json")).operators == chosen.operators
    paths = [str(desk.path("net.json")), "-w", str(desk.path("net.pt")), "-q", "--format", "json"]
    judged = json.loads(desk.call("evaluate", *paths).out)
    assert judged["top1"] == pytest.approx(said["test_top1"], abs=1e-6)


def test_an_interrupted_command_goes_on_without_repeating_finished_trainings(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = desk.call(*words(desk, folder, "--run", str(desk.path("whole")), "--format", "json"))
    weights = torch.load(desk.path("net.pt"), weights_only=True)
    calls: list[str] = []

    def interrupted(architecture, *rest, **more):
        calls.append(architecture.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return retrain(architecture, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(train_all, "retrain", interrupted)
        assert desk.call(*words(desk, folder)).code == 130
    assert calls == ["candidate-2", "candidate-10"]
    resumed = desk.call(*words(desk, folder, "--resume", "--format", "json"))
    assert json.loads(resumed.out) == json.loads(whole.out)
    assert resumed.err.count("epoch 2/2 weights") == 1  # of the second network alone
    again = torch.load(desk.path("net.pt"), weights_only=True)
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())


def test_a_training_that_fails_comes_last_and_is_told(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(architecture, *rest, **more):
        if architecture.name == "candidate-2":
            raise GateFailed("The loss is not a number.")
        return retrain(architecture, *rest, **more)

    monkeypatch.setattr(train_all, "retrain", failing)
    ended = desk.call(*words(desk, folder))
    assert ended.code == 0, ended.err
    assert "failed     1; the first: The loss is not a number." in ended.out
    assert "chosen     candidate-10" in ended.out


def test_images_held_out_train_nothing(own_cache: Path) -> None:
    data = open_data("digits", resolution=8, limit=100)
    held = train_all.hold_out(data, 0.2, seed=0)
    assert (len(held.train), len(held.test)) == (80, 20)
    pixels = [part.batch(torch.arange(len(part)), None)[0] for part in (held.train, held.test)]
    both = torch.cat(pixels).flatten(1)
    whole = data.train.batch(torch.arange(100), None)[0].flatten(1)
    assert torch.equal(both.sort(0).values, whole.sort(0).values)
    with pytest.raises(UsageError, match="cannot be held out"):
        train_all.hold_out(data, 0.0, seed=0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["candidates"], "Add --best"),
        (["FBNet-C", "--best"], "among the networks of a folder"),
        (["FBNet-C", "--held-out", "0.2"], "--held-out is of --best"),
        (["empty", "--best"], "no networks in"),
    ],
)
def test_a_folder_goes_with_best_and_a_network_without(
    desk: Desk, folder: Path, more: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.path("empty").mkdir()
    monkeypatch.chdir(desk.folder)
    ended = desk.call("train", *more, "-q")
    assert is_refusal(ended), ended
    assert said in ended.err
