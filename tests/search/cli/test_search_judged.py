"""`scores.by=judged`: networks judged with the shared weights select within the target."""

import numpy as np
import pytest

from search.latency.model import LatencyModel
from search.selection.exact import select
from search.selection.scores import read_scores
from search.table.store import read_table
from tests.search.cli.runner import SPACE, TARGET_MS, Desk, is_refusal

JUDGED = ("--set", "scores.by=judged", "--set", "scores.networks=15", "--epochs", "1")


@pytest.mark.parametrize("algorithm", ["fbnet", "fp-nas"])
def test_the_selection_by_judged_networks_is_exact_and_chosen(desk: Desk, algorithm: str) -> None:
    ended = desk.call(*desk.words("--algorithm", algorithm, *JUDGED))
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    scores = read_scores(desk.path("arch.run/scores.json"), SPACE)
    assert "additive fit of 15 networks" in scores.origin
    costs = LatencyModel(read_table(desk.table)).cost_matrix(SPACE)
    best = select(scores, costs, 1000 * TARGET_MS).choices
    names = [SPACE.layers[layer].choices[choice].name for layer, choice in enumerate(best)]
    assert result["chosen"] == result["candidates"][0]
    assert result["chosen"]["choices"] == names
    assert result["chosen"]["origin"].startswith("exact selection by judged networks")
    assert "near the target" not in ended.out
    assert "judging 15 networks on" in ended.err
    assert np.isfinite(result["chosen"]["accuracy"])


def test_too_few_judged_networks_are_refused(desk: Desk) -> None:
    ended = desk.call(*desk.words("--set", "scores.by=judged", "--set", "scores.networks=5"))
    assert is_refusal(ended)
    assert "scores.networks is out of range" in " ".join(ended.err.split())
    ended = desk.call(*desk.words("--set", "scores.by=guesses"))
    assert is_refusal(ended)
    assert "Known: distribution, judged" in ended.err
