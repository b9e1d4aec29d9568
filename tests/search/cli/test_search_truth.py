"""`--truth`: what a benchmark knows of the network found stands in the result."""

import json
from pathlib import Path

import numpy as np

from search.selection.scores import from_probabilities, write_scores
from search.spaces.registry import make_space
from tests.search.cli.runner import Desk, is_refusal

SPACE = make_space("nas-bench-macro")


def _benchmark(path: Path) -> Path:
    names = ["".join(map(str, choices)) for choices in np.ndindex(*[3] * 8)]
    path.write_text(json.dumps({name: {"mean_acc": 5.0 * name.count("1")} for name in names}))
    return path


def test_the_true_accuracy_and_the_regret_of_an_exact_selection_are_told(desk: Desk) -> None:
    truth = _benchmark(desk.path("bench.json"))
    scores = desk.path("scores.json")
    likely = np.full((8, 3), 0.1)
    likely[:, 1] = 0.8
    likely[0] = (0.8, 0.1, 0.1)  # the search was wrong about the first layer
    write_scores(from_probabilities(likely, SPACE, "a test"), scores)
    words = ["--space", "nas-bench-macro", "--cost", "flops", "--target-mflops", "60"]
    words += ["--algorithm", "exact", "--scores", str(scores), "--truth", str(truth)]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    found = desk.json("arch.result.json")["truth"]
    assert found["benchmark"] == "bench.json"
    assert 0 < found["networks"] < 6561
    assert (found["accuracy"], found["best"]) == (0.35, 0.4)
    assert "truth      35.00% by bench.json, 5.00 points" in ended.out


def test_the_truth_of_another_space_is_refused_before_any_work(desk: Desk) -> None:
    words = ["--table", str(desk.table), "--target-ms", "6", *desk.data()]
    truth = _benchmark(desk.path("bench.json"))
    ended = desk.call(*words, "--truth", str(truth), "-o", str(desk.path("a.json")))
    assert is_refusal(ended), ended
    assert "not those of fbnet-mini" in " ".join(ended.err.split())
    assert not desk.path("a.run").exists()
