"""What a search says about itself: targets that restrict nothing, accuracies at chance level."""

import pytest
import torch

import search.pipeline.run as run
from search.pipeline.candidates import Candidate, candidates_at_chance
from search.training.chance import chance_warning
from search.training.evaluate import Accuracy
from search.training.retrain import TrainedNetwork, retrain
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk


def said(text: str) -> str:
    return " ".join(text.split())


def test_a_target_that_every_network_meets_is_said_before_and_after(desk: Desk) -> None:
    words = desk.words("--target-ms", "100", "--algorithm", "random", "--budget", "1")
    ended = desk.call(*words, "--epochs", "1")
    assert ended.code == 0, ended.err
    assert "The target of 100 ms restricts nothing" in said(ended.err)
    assert "target     does not bind: the network uses" in ended.out
    result = desk.json("arch.result.json")
    assert result["target_used"] == pytest.approx(result["chosen"]["predicted_us"] / 1e5)


def test_a_target_that_some_network_breaks_is_not_called_slack(searched: Searched) -> None:
    assert "restricts nothing" not in searched.ended.err


def test_the_result_holds_the_accuracy_after_training(searched: Searched) -> None:
    trained = searched.desk.json("arch.result.json")["trained"]
    assert trained["top1_low"] < trained["top1"] < trained["top1_high"]
    assert trained["top1"] <= trained["top5"]
    assert (trained["images"], trained["weights"]) == (359, "arch.pt")


def test_trials_at_chance_level_are_warned_of(desk: Desk) -> None:
    words = desk.words("--algorithm", "random", "--budget", "2", "--epochs", "1")
    ended = desk.call(*words)
    assert "Warning: 2 of 2 candidates are at chance level (10.0%)" in said(ended.err)


def test_a_trained_network_at_chance_level_is_warned_of(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, searched: Searched
) -> None:
    def poor(*rest, **more):
        trained = retrain(*rest, **more)
        guess = Accuracy(top1=0.1, top5=0.5, images=359, loss=2.3)
        return TrainedNetwork(network=trained.network, test=guess)

    monkeypatch.setattr(run, "retrain", poor)
    scores = str(searched.desk.path("arch.run/scores.json"))
    words = ["--algorithm", "exact", "--scores", scores, "--retrain", "--retrain-epochs", "1"]
    ended = desk.call(*desk.words(*words))
    assert ended.code == 0, ended.err
    assert "Warning: top-1 10.00% is at chance level" in said(ended.err)


def test_chance_is_the_most_frequent_class_within_the_interval_of_the_accuracy() -> None:
    labels = torch.tensor([0] * 60 + [1] * 40)
    assert chance_warning(Accuracy(top1=0.68, top5=1, images=100, loss=1), labels)
    assert not chance_warning(Accuracy(top1=0.71, top5=1, images=100, loss=1), labels)
    good, bad = (
        Candidate(origin="", choices=(), accuracy=share, images=100) for share in (0.8, 0.6)
    )
    assert not candidates_at_chance([good], labels)
    assert "1 of 2 candidates" in candidates_at_chance([good, bad], labels)
