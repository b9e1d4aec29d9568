"""FLOPs, parameters or memory instead of latency: what is weighed, met, recorded and refused."""

import random

import pytest

from search.architecture import read_architecture
from search.latency.model import LatencyModel
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from search.table.store import read_table
from search.training.run.trace import read_trace
from tests.search.cli.runner import Desk, is_refusal, write

CASES = [
    ("fbnetv2", "fbnetv2-mini", "params"),
    ("fbnetv2", "fbnetv2-mini-free", "flops"),
    ("fbnet", "fbnet-mini", "memory"),
    ("parsec", "fp-nas-mini", "flops"),
    ("single-path", "single-path-mini", "params"),
    ("random", "fbnet-mini", "flops"),
    ("evolution", "fp-nas-mini", "memory"),
    ("random", "fbnetv2-mini-free", "params"),
]
OPTION = {"flops": "--target-mflops", "params": "--target-mparams", "memory": "--target-mb"}


@pytest.mark.thorough
@pytest.mark.parametrize(("algorithm", "name", "cost"), CASES)
def test_every_method_meets_a_target_of_any_cost(
    desk: Desk, algorithm: str, name: str, cost: str
) -> None:
    space = make_space(name, resolution=16)
    table = write(desk.path("own"), space=space)
    most_m = 1.5 * counted_costs(space, cost).cheapest() / 1e6
    words = ["--table", str(table), "--algorithm", algorithm, "--cost", cost, "--quiet"]
    words += [OPTION[cost], f"{most_m:.6f}", "--epochs", "1", "--budget", "2", *desk.data(40)]
    ended = desk.call(*words, "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("arch.json"))
    found = {
        "flops": network.flops,
        "params": network.params,
        "memory": network.memory_bytes,
    }[cost]
    assert found <= 1e6 * most_m
    result = desk.json("arch.result.json")
    assert (result["cost"], result["target_us"]) == (cost, None)
    assert result["most"] == pytest.approx(1e6 * most_m, abs=1)
    assert result["chosen"]["meets_target"]
    estimate = LatencyModel(read_table(table)).estimate(network)
    assert result["chosen"]["predicted_us"] == pytest.approx(estimate.value_us)
    assert f"{cost:<10} {found / 1e6:.4g}M, target" in ended.out
    if algorithm in ("random", "evolution"):
        return
    lines = read_trace(desk.path("arch.run") / "trace.jsonl")
    assert all(f"expected_{cost}" in line.progress for line in lines)
    assert all("expected_latency_us" not in line.progress for line in lines)
    assert all(line.latency_us is None for line in lines)


def test_counted_costs_are_those_of_the_networks() -> None:
    space = make_space("fbnet-mini", resolution=16)
    for seed in range(5):
        choices = [random.Random(seed).randrange(len(layer.choices)) for layer in space.layers]
        words = [layer.choices[c].name for layer, c in zip(space.layers, choices, strict=True)]
        network = space.architecture(words)
        assert counted_costs(space, "flops").cost_of([choices])[0] == network.flops
        assert counted_costs(space, "params").cost_of([choices])[0] == network.params
        assert counted_costs(space, "memory").cost_of([choices])[0] == network.memory_bytes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cost", "bytes"], "Unknown --cost"),
        (["--cost", "flops", "--target-mflops", "0.001"], "as few as"),
        (["--cost", "flops", "--target-mflops", "nan"], "as few as"),
        (["--cost", "flops", "--target-ms", "6"], "no target of --cost flops"),
        (["--target-mparams", "1"], "no target of --cost latency"),
        (["--cost", "flops", "--algorithm", "random"], "needs a flops target"),
        (["--cost", "flops", "--target-mb", "1"], "no target of --cost flops"),
        (["--cost", "memory", "--target-mb", "0.0001"], "as few as"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call(
        "--table", str(desk.table), *words, *desk.data(), "-o", str(desk.path("a.json"))
    )
    assert is_refusal(ended), ended
    assert said in ended.err
    assert not desk.path("a.json").exists()
    assert not desk.path("a.run").exists()


@pytest.mark.parametrize("algorithm", ["fbnet", "random"])
def test_what_is_counted_needs_no_table(desk: Desk, algorithm: str) -> None:
    space = make_space("fbnet-mini", resolution=16)
    most_m = 1.5 * counted_costs(space, "flops").cheapest() / 1e6
    words = ["--space", space.spec, "--algorithm", algorithm, "--cost", "flops", "--quiet"]
    words += ["--target-mflops", f"{most_m:.6f}", "--epochs", "1", "--budget", "2"]
    ended = desk.call(*words, *desk.data(40), "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    assert read_architecture(desk.path("arch.json")).flops <= 1e6 * most_m
    result = desk.json("arch.result.json")
    assert (result["table"], result["table_source"], result["space"]) == ("", "none", space.spec)
    assert result["chosen"]["predicted_us"] is None
    assert "latency    unknown: no table was given" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--space", "fbnet-mini"], "from a table alone"),
        (["--space", "fbnet-mini", "--cost", "latency", "--target-ms", "1"], "need a latency"),
        (["--space", "fbnet-large", "--cost", "flops"], "Unknown space"),
        (["--space", "fbnet-mini", "--cost", "weight"], "Unknown cost"),
        (["--space", "fbnet-mini", "--table", "t", "--cost", "flops"], "its own space"),
    ],
)
def test_a_search_without_a_table_is_refused_where_it_needs_one(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call(*words, *desk.data(), "-o", str(desk.path("a.json")))
    assert is_refusal(ended), ended
    assert said in ended.err
    assert not desk.path("a.json").exists()
