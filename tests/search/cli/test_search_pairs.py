"""Tables that tell what neighbouring layers share: every method finds and prices networks by it."""

import json

import pytest

from search.architecture import read_architecture
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.search.cli.runner import Desk, write
from tests.search.selection.test_pairs import calibration_of, effects_of

CASES = [
    ("fbnet", "fbnet-mini"),
    ("parsec", "fbnet-mini"),
    ("single-path", "single-path-mini"),
    ("random", "fbnet-mini"),
    ("evolution", "fbnet-mini"),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("algorithm", "name"), CASES)
def test_every_method_meets_a_target_that_counts_neighbours(
    desk: Desk, algorithm: str, name: str
) -> None:
    space = make_space(name, resolution=16)
    table = write(desk.path("t"), space=space, calibration=calibration_of(effects_of(space)))
    model = LatencyModel(read_table(table))
    target_ms = 1.5 * model.space_costs(space).cheapest() / 1e3
    words = ["--table", str(table), "--algorithm", algorithm, "--quiet", "--epochs", "1"]
    words += ["--target-ms", f"{target_ms:.6f}", "--budget", "2", *desk.data(40)]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    estimate = model.estimate(read_architecture(desk.path("arch.json")))
    chosen = desk.json("arch.result.json")["chosen"]
    assert chosen["meets_target"]
    assert chosen["predicted_us"] == pytest.approx(estimate.value_us, rel=1e-6)
    assert estimate.value_us <= 1e3 * target_ms + 1e-2
    if algorithm not in ("random", "evolution"):
        scores = str(desk.path("arch.run/scores.json"))
        words = ["--table", str(table), "--scores", scores, "--target-ms", f"{target_ms:.6f}"]
        front = desk.call("front", *words, "--format", "json")
        assert front.code == 0, front.err
        (row,) = json.loads(front.out)
        assert row["predicted_ms"] <= target_ms
        assert row["optimal"]
