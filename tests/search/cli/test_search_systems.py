"""The other systems on the command line: the same table, data, checkpoints and traces."""

from pathlib import Path

import pytest

from search.architecture import read_architecture
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import read_table
from search.training.run.trace import read_trace
from tests.search.cli.runner import Desk, is_refusal, write

SPACES = (
    ("fp-nas", "fbnet-mini"),
    ("fp-nas", "fp-nas-mini"),
    ("parsec", "fbnet-mini"),
    ("single-path", "single-path-mini"),
    ("fbnetv2", "fbnetv2-mini"),
)


@pytest.mark.thorough
@pytest.mark.parametrize(("algorithm", "name"), SPACES)
def test_a_search_writes_a_network_within_its_target_and_can_be_resumed(
    desk: Desk, algorithm: str, name: str
) -> None:
    space = make_space(name, resolution=16)
    table = write(desk.path("own"), space=space)
    model = LatencyModel(read_table(table))
    target_ms = 1.6 * model.space_costs(space).cheapest() / 1000
    words = ["--algorithm", algorithm, "--table", str(table), "--target-ms", f"{target_ms:.6f}"]
    words += ["--quiet", "--limit", "40"]
    ended = desk.call(*desk.words(*words))
    assert ended.code == 0, ended.err
    result = desk.json("arch.result.json")
    assert result["algorithm"] == algorithm
    assert result["chosen"]["meets_target"]
    network = read_architecture(desk.path("arch.json"))
    estimate = model.estimate(network)
    assert estimate.value_us == pytest.approx(result["chosen"]["predicted_us"])
    assert estimate.value_us <= 1000 * target_ms
    lines = read_trace(desk.path("arch.run") / "trace.jsonl")
    assert all("expected_latency_us" in line.progress for line in lines)
    before = desk.path("arch.json").read_bytes()
    again = desk.call(*desk.words(*words, "--resume"))
    assert again.code == 0, again.err
    assert desk.path("arch.json").read_bytes() == before


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("fbnetv2", "fbnet-mini"),
        ("fbnet", "fbnetv2-mini"),
        ("single-path", "fbnet-mini"),
        ("fbnet", "fp-nas-mini"),
    ],
)
def test_a_table_of_a_space_that_a_method_cannot_search_is_refused(
    desk: Desk, algorithm: str, name: str
) -> None:
    table: Path = write(desk.path("own"), space=make_space(name, resolution=16))
    ended = desk.call(*desk.words("--algorithm", algorithm, "--table", str(table)))
    assert is_refusal(ended), ended
    assert "does not search" in ended.err or "superkernel" in ended.err
