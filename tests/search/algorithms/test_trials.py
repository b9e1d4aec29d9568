"""Trials of the baselines: what is expensive is done once."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import search.algorithms.baselines.trials
from search.algorithms.baselines.trials import ShortTraining, Subset, TrialFile
from search.errors import StorageError, UsageError
from search.training.compute.precision import Compute
from search.training.recipe import TrainingRecipe
from search.training.run.run_control import Stopwatch
from search.training.settings import TrainingSettings
from tests.search.cli.broken_training import spoil, spoil_trials
from tests.search.cli.runner import SPACE
from tests.search.training.standins import Pictures

A, B = (0, 1, 2), (3, 0, 1)


def begun(path: Path, identity: str = "x") -> TrialFile:
    """A file with one finished trial."""
    trials = TrialFile(path, identity, resume=False)
    trials.add(A, 0.25)
    return trials


# --- the file ----------------------------------------------------------------


def test_finished_trials_are_read_back(tmp_path: Path) -> None:
    begun(tmp_path / "run" / "trials.jsonl").add(B, 0.1 + 0.2)
    found = TrialFile(tmp_path / "run" / "trials.jsonl", "x", resume=True)
    assert found.scores == {A: 0.25, B: 0.1 + 0.2}


def test_a_file_that_is_there_is_refused_without_resume(tmp_path: Path) -> None:
    begun(tmp_path / "trials.jsonl")
    with pytest.raises(UsageError, match="--resume"):
        TrialFile(tmp_path / "trials.jsonl", "x", resume=False)


def test_a_file_of_other_settings_is_refused_and_kept(tmp_path: Path) -> None:
    begun(tmp_path / "trials.jsonl", "x")
    before = (tmp_path / "trials.jsonl").read_bytes()
    with pytest.raises(UsageError, match="other settings"):
        TrialFile(tmp_path / "trials.jsonl", "y", resume=True)
    assert (tmp_path / "trials.jsonl").read_bytes() == before


def test_wherever_a_kill_cuts_the_file_off_whole_trials_stay_and_new_ones_are_readable(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trials.jsonl"
    begun(path).add(B, 0.5)
    content = path.read_bytes()
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        trials = TrialFile(path, "x", resume=True)
        whole = sum(end < size for end in ends[1:])
        assert len(trials.scores) == whole
        trials.add((7, 7, 7), 0.75)
        again = TrialFile(path, "x", resume=True)
        assert again.scores == {**trials.scores, (7, 7, 7): 0.75}


@pytest.mark.parametrize(
    "text",
    [
        "precious notes",
        "precious\nnotes\n",
        "[]\n",
        '{"identity": "x"}\n{"choices": 3, "score": 1}\n',
        '{"identity": "x"}\n{"choices": [1, 2, 3], "score": NaN}\n',
        '{"identity": "x"}\n{"choices": [1, 2, 3]}\n',
        '{"identity": "x"}\n{"choices": [1, 2, 3], "score": 0.5, "failed": "hot"}\n',
        "\x00\xff\n",
    ],
)
def test_what_is_no_file_of_trials_is_refused_and_untouched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="not a file of trials"):
        TrialFile(path, "x", resume=True)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_trial_that_cannot_be_written_says_what_is_kept(tmp_path: Path) -> None:
    trials = begun(tmp_path / "run" / "trials.jsonl")
    (tmp_path / "run" / "trials.jsonl").unlink()
    (tmp_path / "run").rmdir()
    with pytest.raises(StorageError, match=r"kept.*--resume"):
        trials.add(B, 0.5)


def test_each_trial_is_a_line_of_json(tmp_path: Path) -> None:
    begun(tmp_path / "trials.jsonl")
    header, trial = map(json.loads, (tmp_path / "trials.jsonl").read_text().splitlines())
    assert header == {"identity": "x"}
    assert trial.pop("seconds") >= 0
    assert trial == {"choices": [0, 1, 2], "score": 0.25}


def test_a_failed_trial_is_kept_with_its_reason_and_the_lowest_score(tmp_path: Path) -> None:
    begun(tmp_path / "trials.jsonl").add_failed(B, "The loss is nan")
    found = TrialFile(tmp_path / "trials.jsonl", "x", resume=True)
    assert found.scores == {A: 0.25, B: -math.inf}
    assert found.failures == {B: "The loss is nan"}


def test_a_line_without_time_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text('{"identity": "x"}\n{"choices": [0, 1, 2], "score": 0.25}\n')
    assert TrialFile(path, "x", resume=True).scores == {A: 0.25}


def test_the_time_of_earlier_parts_is_added(tmp_path: Path) -> None:
    path, stopwatch = tmp_path / "trials.jsonl", Stopwatch()
    stopwatch.resume_from(1000.0)
    TrialFile(path, "x", resume=False, stopwatch=stopwatch).add(A, 0.25)
    later = Stopwatch()
    TrialFile(path, "x", resume=True, stopwatch=later)
    assert later.seconds() >= 1000.0


# --- scoring -----------------------------------------------------------------


def test_a_subset_numbers_its_images_anew() -> None:
    images = Pictures(10)
    part = Subset(images, torch.tensor([7, 3, 5]))
    assert len(part) == 3
    assert part.labels.tolist() == images.labels[[7, 3, 5]].tolist()
    pixels, labels = part.batch(torch.tensor([2, 0]), None)
    wanted, _ = images.batch(torch.tensor([5, 7]), None)
    assert torch.equal(pixels, wanted)
    assert labels.tolist() == images.labels[[5, 7]].tolist()


RECIPE = TrainingRecipe(batch=8, epochs=1, learning_rate=0.05, schedule="cosine")
NETWORKS = [(0, 0, 0, 0, 0, 0), (1, 0, 8, 4, 8, 0), (0, 1, 0, 0, 0, 0)]


def scorer(trials: TrialFile, said: list[str] | None = None) -> ShortTraining:
    return ShortTraining(
        SPACE,
        Pictures(40, 10, side=16),
        torch.arange(30),
        torch.arange(30, 40),
        RECIPE,
        TrainingSettings(batch=8, compute=Compute(device="cpu", threads=1)),
        trials,
        (said if said is not None else []).append,
    )


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], list[str]]:
    """A file of trials, its scores in order, and what was said."""
    path = tmp_path_factory.mktemp("trials") / "trials.jsonl"
    said: list[str] = []
    return path, scorer(TrialFile(path, "x", resume=False), said)(NETWORKS), said


def test_each_network_is_scored_by_its_accuracy_and_told(
    scores: tuple[Path, list[float], list[str]],
) -> None:
    path, found, said = scores
    assert all(0 <= score <= 1 for score in found)
    assert [line.partition(":")[0] for line in said] == ["trial 1", "trial 2", "trial 3"]
    kept = TrialFile(path, "x", resume=True).scores
    assert kept == dict(zip(NETWORKS, found, strict=True))


def test_a_finished_trial_is_not_trained_again(
    scores: tuple[Path, list[float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    path, found, _ = scores
    monkeypatch.setattr(search.algorithms.baselines.trials, "train", never)
    assert scorer(TrialFile(path, "x", resume=True))(NETWORKS) == found


def test_a_score_depends_on_the_network_alone(
    scores: tuple[Path, list[float], list[str]],
) -> None:
    _, found, _ = scores
    torch.manual_seed(99)
    assert scorer(TrialFile(None, "x", resume=False))([NETWORKS[2]]) == [found[2]]


def test_a_trial_that_learns_no_numbers_fails_and_the_others_go_on(
    scores: tuple[Path, list[float], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_trials(monkeypatch, {2})
    said: list[str] = []
    found = scorer(TrialFile(tmp_path / "trials.jsonl", "x", resume=False), said)(NETWORKS)
    assert found == [scores[1][0], -math.inf, scores[1][2]]
    assert said[1].startswith("trial 2: failed: The loss is nan")
    kept = TrialFile(tmp_path / "trials.jsonl", "x", resume=True)
    assert "The loss is nan" in kept.failures[NETWORKS[1]]
    assert list(kept.failures) == [NETWORKS[1]]


def test_weights_that_break_in_the_last_step_are_a_failed_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(algorithm: Any, *_: Any, **__: Any) -> None:
        spoil(algorithm.module)

    monkeypatch.setattr(search.algorithms.baselines.trials, "train", broken)
    trials = TrialFile(None, "x", resume=False)
    assert scorer(trials)(NETWORKS[:1]) == [-math.inf]
    assert "held back is nan" in trials.failures[NETWORKS[0]]
