"""NAS-Bench-Macro: its networks are ours, and its accuracies judge what a search found."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from search.errors import UsageError
from search.latency.space_costs import counted_costs
from search.pipeline.networks.truth import read_truth
from search.spaces.registry import make_space

SPACE = make_space("nas-bench-macro")
NAMES = ["".join(map(str, choices)) for choices in np.ndindex(*[3] * 8)]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A made-up benchmark: the digits' sum in percent."""
    rows = {name: {"mean_acc": float(sum(map(int, name))), "test_acc": [1, 2]} for name in NAMES}
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(rows))
    return path


def test_every_network_counts_what_the_benchmark_says(shared: Path) -> None:
    path = shared / "data" / "nas-bench-macro_cifar10.json"
    if not path.exists():
        pytest.skip("the benchmark is not here")
    rows = json.loads(path.read_text())
    choices = [[int(digit) for digit in name] for name in rows]
    for cost in ("flops", "params"):
        counted = counted_costs(SPACE, cost).cost_of(choices)
        assert counted.tolist() == [row[cost] for row in rows.values()]
    truth = read_truth(path, SPACE)
    best = truth.of([2, 2, 2, 1, 2, 2, 2, 0], counted_costs(SPACE, "flops"), None)
    assert (round(best.accuracy, 4), best.regret, best.networks) == (0.9313, 0, 6561)
    assert 100 * truth.accuracies.mean() == pytest.approx(90.25, abs=0.05)


def test_the_regret_is_that_to_the_best_within_the_limit(benchmark: Path) -> None:
    truth, costs = read_truth(benchmark, SPACE), counted_costs(SPACE, "flops")
    prices = dict(zip(NAMES, costs.cost_of(truth.choices), strict=True))
    most = float(np.quantile(list(prices.values()), 0.2))
    within = [name for name in NAMES if prices[name] <= most]
    best = max(sum(map(int, name)) for name in within)
    row = truth.of([0] * 8, costs, most)
    assert (row.accuracy, row.networks) == (0, len(within))
    assert row.regret == row.best == pytest.approx(best / 100)
    assert truth.of([0] * 8, costs, math.inf).best == pytest.approx(0.16)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "no NAS-Bench-Macro file"),
        ('{"00000000": {"mean_acc": "x"}}', "no NAS-Bench-Macro file"),
        ('{"00000000": {"mean_acc": 1.0}}', "holds 1 networks; the space has 6561, of which"),
        ("{", "no NAS-Bench-Macro file"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        read_truth(path, SPACE)


def test_other_spaces_have_no_known_truth(benchmark: Path) -> None:
    with pytest.raises(UsageError, match="not those of fbnet-mini"):
        read_truth(benchmark, make_space("fbnet-mini"))
