"""`--most`: several limits in one search, kept to by every method, recorded, and refused."""

import json

import pytest

from search.architecture import Architecture, read_architecture
from search.latency.model import LatencyModel
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk, is_refusal, write

CASES = [
    ("fbnetv2", "fbnetv2-mini"),
    ("fbnet", "fbnet-mini"),
    ("parsec", "fp-nas-mini"),
    ("single-path", "single-path-mini"),
    ("random", "fbnet-mini"),
    ("evolution", "fp-nas-mini"),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("algorithm", "name"), CASES)
def test_every_method_keeps_to_all_limits(desk: Desk, algorithm: str, name: str) -> None:
    space = make_space(name, resolution=16)
    tables = [write(desk.path(f"t{seed}"), space=space, seed=seed) for seed in (0, 1)]
    models = [LatencyModel(read_table(table)) for table in tables]
    least_ms = [model.space_costs(space).cheapest() / 1e3 for model in models]
    mflops = 2 * counted_costs(space, "flops").cheapest() / 1e6
    words = ["--table", str(tables[0]), "--algorithm", algorithm, "--quiet"]
    words += ["--target-ms", f"{2 * least_ms[0]:.6f}", "--most", f"mflops={mflops:.6f}"]
    words += ["--most", f"ms@{tables[1]}={2.2 * least_ms[1]:.6f}", "--epochs", "1"]
    ended = desk.call(*words, "--budget", "2", *desk.data(40), "-o", str(desk.path("arch.json")))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("arch.json"))
    assert network.flops <= 1e6 * mflops + 1
    assert models[0].estimate(network).value_us <= 2e3 * least_ms[0] + 1e-2
    assert models[1].estimate(network).value_us <= 2.2e3 * least_ms[1] + 1e-2
    chosen = desk.json("arch.result.json")["chosen"]
    assert chosen["meets_target"]
    assert [row["limit"].split("=")[0] for row in chosen["limits"]] == ["mflops", f"ms@{tables[1]}"]
    assert chosen["limits"][0]["share"] == pytest.approx(network.flops / 1e6 / mflops, rel=1e-5)
    assert f"limit      mflops={mflops:.6f}: " in ended.out


def _front(desk: Desk, searched: Searched, *more: str) -> list[str]:
    scores = str(searched.desk.path("arch.run/scores.json"))
    return ["front", "--scores", scores, *more, "-o", str(desk.path("f")), "--format", "json"]


def _networks(desk: Desk, number: int) -> list[Architecture]:
    return [read_architecture(desk.path(f"f/front-{n}.json")) for n in range(1, number + 1)]


def test_a_front_keeps_to_limits_at_each_target(desk: Desk, searched: Searched) -> None:
    words = _front(desk, searched, "--table", str(desk.table), "--target-ms", "4")
    free = desk.call(*words, "--target-ms", "7")
    most = min(network.flops for network in _networks(desk, 2)) / 1e6
    bound = desk.call(*words, "--target-ms", "7", "--most", f"mflops={most:.6f}")
    assert (free.code, bound.code) == (0, 0), bound.err
    assert all(network.flops <= 1e6 * most + 1 for network in _networks(desk, 2))
    for loose, tight in zip(json.loads(free.out), json.loads(bound.out), strict=True):
        assert tight["score"] <= loose["score"]
        assert tight["predicted_ms"] <= tight["target_ms"]
        assert tight["optimal"]


def test_a_front_of_flops_needs_no_table(desk: Desk, searched: Searched) -> None:
    space = make_space("fbnet-mini", resolution=16)
    least = counted_costs(space, "flops").cheapest() / 1e6
    words = ["--space", space.spec, "--cost", "flops", "--target-mflops", f"{1.2 * least:.6f}"]
    ended = desk.call(*_front(desk, searched, *words, "--target-mflops", f"{1.5 * least:.6f}"))
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    targets = [1.2 * least, 1.5 * least]
    assert [row["target_mflops"] for row in rows] == pytest.approx(targets, abs=1e-6)
    for network, target in zip(_networks(desk, 2), targets, strict=True):
        assert network.flops <= 1e6 * target + 1
    assert {row["predicted_ms"] for row in rows} == {None}
    assert desk.json("f/front.json")["table_source"] == "none"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target-ms", "6", "--most", "flops=3"], "is no limit"),
        (["--target-ms", "6", "--most", "mflops"], "is no limit"),
        (["--target-ms", "6", "--most", "mflops=-1"], "is no limit"),
        (["--target-ms", "6", "--most", "mflops=nan"], "is no limit"),
        (["--target-ms", "6", "--most", "mflops@t=3"], "is no limit"),
        (["--target-ms", "6", "--most", "mflops=0.001"], "keeps to mflops=0.001: the lowest is"),
        (["--target-ms", "6", "--most", "ms@nowhere=6"], "not a table"),
        (["--most", "mflops=3"], "Give --target-ms as well"),
        (
            ["--target-ms", "6", "--probability", "0.9", "--most", "mflops=0.001"],
            "keeps to mflops=0.001: the lowest is",
        ),
        (["--cost", "flops", "--most", "mparams=3"], "Give --target-mflops as well"),
    ],
)
def test_what_is_no_limit_is_refused_before_any_work(
    desk: Desk, words: list[str], said: str
) -> None:
    ended = desk.call(
        "--table", str(desk.table), *words, *desk.data(), "-o", str(desk.path("a.json"))
    )
    assert is_refusal(ended), ended
    assert said in " ".join(ended.err.split())
    assert not desk.path("a.run").exists()


def test_a_limit_by_a_table_of_another_space_is_refused(desk: Desk) -> None:
    other = write(desk.path("other"), space=make_space("fbnet-mini", resolution=24))
    words = ["--table", str(desk.table), "--target-ms", "6", "--most", f"ms@{other}=6"]
    ended = desk.call(*words, *desk.data(), "-o", str(desk.path("a.json")))
    assert is_refusal(ended), ended
    assert "is of the space fbnet-mini-r24" in " ".join(ended.err.split())


def test_without_a_target_a_limit_on_what_is_weighed_is_the_target(desk: Desk) -> None:
    words = ["--table", str(desk.table), "--most", "ms=6", "--algorithm", "random", "--budget", "1"]
    words += ["--most", "mflops=100", "--epochs", "1", *desk.data(40), "--quiet"]
    ended = desk.call(*words, "-o", str(desk.path("a.json")))
    assert ended.code == 0, ended.err
    result = desk.json("a.result.json")
    assert result["target_us"] == 6000
    assert [row["limit"] for row in result["chosen"]["limits"]] == ["mflops=100"]
