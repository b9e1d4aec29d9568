"""`--algorithm zero-cost`: the best score within the target, without training, on every space."""

from typing import Any

import numpy as np
import pytest

from search.algorithms.zero_cost.zico import zico
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from tests.search.cli.runner import SPACE, Desk, is_refusal, write

ZERO_COST = ("--algorithm", "zero-cost")


def words(desk: Desk, *more: str) -> list[str]:
    given = ["--table", str(desk.table), "--target-ms", "6", *ZERO_COST, *desk.data()]
    return [*given, "-o", str(desk.path("arch.json")), *more]


@pytest.mark.parametrize("score", ["params", "flops"])
def test_the_most_of_a_count_is_the_most_of_all_networks_within_the_target(
    desk: Desk, score: str
) -> None:
    most_m = 1.5 * counted_costs(SPACE, "memory").cheapest() / 1e6
    given = ["--table", str(desk.table), "--cost", "memory", "--target-mb", f"{most_m:.6f}"]
    out = str(desk.path("arch.json"))
    ended = desk.call(*given, *ZERO_COST, "--set", f"score={score}", "-o", out)
    assert ended.code == 0, ended.err
    every = list(np.ndindex(*(len(layer.choices) for layer in SPACE.layers)))
    within = counted_costs(SPACE, "memory").cost_of(every) <= 1e6 * float(f"{most_m:.6f}")
    best = counted_costs(SPACE, score).cost_of(every)[within].max()
    result = desk.json("arch.result.json")
    assert result["chosen"]["score"] == result["chosen"][score] == best
    assert result["chosen"]["meets_target"]
    assert result["data"] == "none"
    assert not desk.path("arch.run").exists()


@pytest.mark.parametrize("name", ["fp-nas-mini", "fbnetv2-mini", "single-path-mini", "uib-mini"])
def test_counts_are_selected_on_every_space(desk: Desk, name: str) -> None:
    space = make_space(name, resolution=16)
    counted = counted_costs(space, "flops")
    most_m = f"{1.5 * counted.cheapest() / 1e6:.6f}"
    given = ["--space", space.spec, "--cost", "flops", "--target-mflops", most_m, *ZERO_COST]
    ended = desk.call(*given, "--set", "score=params", "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    chosen = desk.json("arch.result.json")["chosen"]
    assert chosen["flops"] <= 1e6 * float(most_m)
    assert chosen["params"] == chosen["score"]
    drawn = np.array([[0] * len(space.layers)])
    assert chosen["score"] >= counted_costs(space, "params").cost_of(drawn)[0]


@pytest.mark.parametrize("name", ["fbnet-mini", "fp-nas-mini"])
def test_zico_takes_the_highest_score_of_the_networks_it_tried(desk: Desk, name: str) -> None:
    space = make_space(name, resolution=16)
    table = write(desk.path("own"), space=space)
    most_m = f"{2 * counted_costs(space, 'flops').cheapest() / 1e6:.6f}"
    given = ["--table", str(table), "--cost", "flops", "--target-mflops", most_m, *ZERO_COST]
    out = str(desk.path("arch.json"))
    ended = desk.call(*given, "--budget", "6", *desk.data(), "-o", out)
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    scores = [candidate["score"] for candidate in result["candidates"]]
    assert len(scores) == 6
    assert scores == sorted(scores, reverse=True)
    assert result["chosen"] == result["candidates"][0]
    assert result["chosen"]["scored_by"] == "zico on 2 batches of 16 images"
    assert result["recipe"] == {"score": "zico", "networks": 6, "batches": 2, "batch": 16}
    assert all(candidate["flops"] <= 1e6 * float(most_m) for candidate in result["candidates"])


def test_a_resumed_selection_scores_no_network_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []

    def watched(*arguments: Any) -> float:
        scored.append(arguments)
        if len(scored) == 4:
            raise KeyboardInterrupt
        return zico(*arguments)

    monkeypatch.setattr("search.pipeline.zero_cost.zico", watched)
    assert desk.call(*words(desk, "--budget", "5")).code == 130
    assert is_refusal(desk.call(*words(desk, "--budget", "5")))
    ended = desk.call(*words(desk, "--budget", "5", "--resume"))
    assert ended.code == 0, ended.err
    assert len(scored) == 4 + 2
    assert len(desk.json("arch.result.json")["candidates"]) == 5


def test_the_output_shows_scores_in_place_of_accuracies(desk: Desk) -> None:
    ended = desk.call(*words(desk, "--budget", "2", "--format", "csv"))
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].startswith("origin,score,predicted_ms")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "score=synflow"], "Unknown score 'synflow'"),
        (["--set", "batches=1"], "zero-cost.batches is out of range"),
        (["--set", "network=3"], "The nearest is networks"),
        (["--epochs", "3"], "trains nothing"),
        (["--learning-rate", "0.1"], "trains nothing"),
        (["--probability", "0.9"], "--probability"),
        (["--batch", "40"], "zico wants 80 images, and there are 60"),
        (["--resume", "--set", "score=params"], "nothing to resume"),
    ],
)
def test_what_does_not_go_together_is_refused(desk: Desk, more: list[str], said: str) -> None:
    ended = desk.call(*words(desk, *more))
    assert is_refusal(ended), ended
    assert said in " ".join(ended.err.split())


def test_a_count_may_ask_for_a_probability(desk: Desk) -> None:
    ended = desk.call(*words(desk, "--set", "score=params", "--probability", "0.9"))
    assert ended.code == 0, ended.err
    assert desk.json("arch.result.json")["chosen"]["probability"] >= 0.9


def test_a_selection_without_a_target_is_refused(desk: Desk) -> None:
    ended = desk.call("--space", "fbnet-mini", "--cost", "flops", *ZERO_COST)
    assert is_refusal(ended)
    assert "needs a flops target" in ended.err
