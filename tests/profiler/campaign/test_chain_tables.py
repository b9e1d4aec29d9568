"""Tables of chains in every other command: diff, compare and search take them as they are."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.device import load_device
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.tables.diff import compare_tables
from search.architecture import write_architecture
from search.operators.spec import OperatorSpec
from search.selection.scores import Scores, write_scores
from search.spaces.registry import make_space
from search.table.store import Table, read_table
from tests.profiler.conftest import ROOT, Bench, Finished

MINI = make_space("fbnet-mini", dtype="fp16")
# On a phone eight times slower the small space's operators take what FBNet's do.
PHONE = Truth.from_options(
    {**load_device("simulated-iphone").options, "gmacs_per_s": 50.0, "gb_per_s": 3.75}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed(Truth):
    """A phone on which some operators take 20 % longer, in chains and in networks."""

    slowed: frozenset[str] = frozenset()

    def operator_us(self, spec: OperatorSpec) -> float:
        return (1.2 if spec.key in self.slowed else 1.0) * Truth.operator_us(self, spec)


def chains(bench: Bench, truth: Truth = PHONE, **changes: Any) -> Table:
    settings = bench.settings(
        space=MINI.spec, dtype="fp16", chains=(1, 4, 16), **{"passes": 8, **changes}
    )
    return bench.measure(settings=settings, agent=SimulatedAgent(bench.agent_settings(), truth))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, bench_at: Any) -> Iterator[Bench]:
    with bench_at(tmp_path_factory.mktemp("chains")) as bench:
        yield bench


@pytest.fixture(scope="module")
def table(shared: Bench) -> Table:
    """A whole table, with calibration and exam."""
    return chains(shared)


# --- diff


def heavy(table: Table) -> list[str]:
    """Operators whose cost is no matter of noise: the dearest fifth."""
    rows = sorted(table.entries, key=lambda entry: -entry.known_time.centre_us)
    return [entry.key for entry in rows[: len(rows) // 5]]


@pytest.fixture(scope="module")
def slower(table: Table, shared: Bench) -> Table:
    """Some operators slower, dispatch longer, everything on another unit."""
    slowed = frozenset(heavy(table)[::2])
    words = {name: getattr(PHONE, name) for name in Truth.__dataclass_fields__}
    truth = Slowed(**{**words, "dispatch_us": 180.0, "unit": "gpu"}, slowed=slowed)
    return chains(shared, truth, seed=1, calibration=0, exam=0)


def test_slower_operators_are_found_by_their_own_keys_and_no_others(
    table: Table, slower: Table
) -> None:
    assert {name.rpartition("*")[2] for name in table.samples()["item"]} >= {"1", "4", "16"}
    difference = compare_tables(table, slower)
    assert {change.key for change in difference.regressions} == set(heavy(table)[::2])
    # A false discovery rate of 5 % allows a wrong one now and then.
    assert len(difference.improvements) <= 1
    assert difference.only_old == difference.only_new == ()
    centres = {entry.key: entry.known_time.centre_us for entry in slower.entries}
    for change in difference.changes:
        assert change.new_us == centres[change.key]
        if change.verdict == "slower":
            assert change.low <= 1.2 <= change.high


def test_a_longer_dispatch_and_another_unit_are_stated_beside_the_operators(
    table: Table, slower: Table
) -> None:
    difference = compare_tables(table, slower)
    assert difference.dispatch_us == pytest.approx((150, 180), rel=0.01)
    assert set(difference.moved) == {(entry.key, "ne", "gpu") for entry in table.entries}
    assert compare_tables(table, table).moved == ()


def test_two_runs_of_one_phone_do_not_differ(table: Table, shared: Bench) -> None:
    difference = compare_tables(table, chains(shared, seed=2, calibration=0, exam=0))
    assert not any(change.significant for change in difference.changes)
    assert difference.median_absolute <= 0.02
    assert difference.identity == ()


def test_chains_beside_operators_timed_alone_are_another_setting(
    table: Table, shared: Bench
) -> None:
    alone = chains(shared, calibration=0, exam=0, passes=2, filter="ir_k3_e6")
    plain = replace(
        alone,
        manifest=alone.manifest.model_copy(
            update={
                "protocol": alone.manifest.protocol.model_copy(
                    update={"chain_lengths": (), "chain_intercept_us": None, "placements": {}}
                )
            }
        ),
    )
    difference = compare_tables(plain, table)
    assert "chains: none -> 1, 4, 16" in difference.identity
    assert difference.dispatch_us is None
    assert difference.moved == ()


def test_the_command_ends_with_1_where_something_is_slower(
    table: Table, slower: Table, bench: Bench
) -> None:
    done = bench.call("diff", str(table.path), str(slower.path))
    assert done.code == 1, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    assert "dispatch of a call: 150" in done.out
    assert "ran elsewhere: " in done.out
    assert " ne -> gpu" in done.out
    assert done.out.count(" slower \n") == len(heavy(table)[::2])
    assert bench.call("diff", str(table.path), str(table.path)).code == 0


def test_json_and_csv_name_operators_not_chains(table: Table, slower: Table, bench: Bench) -> None:
    words = ("diff", str(table.path), str(slower.path), "--format")
    found = json.loads(bench.call(*words, "json").out)
    rows = list(csv.DictReader(io.StringIO(bench.call(*words, "csv").out)))
    keys = {entry.key for entry in table.entries}
    assert {change["key"] for change in found["changes"]} == {row["key"] for row in rows} == keys
    assert found["dispatch_us"][1] > found["dispatch_us"][0]


# --- compare and search


@pytest.fixture
def nets(tmp_path: Path) -> list[str]:
    paths = []
    for name, word in (("small", "k3_e1"), ("large", "k5_e6")):
        path = tmp_path / f"{name}.json"
        write_architecture(MINI.architecture([word] * len(MINI.layers), name), path)
        paths.append(str(path))
    return paths


def test_networks_are_compared_by_a_table_and_on_the_phone(
    bench: Bench, table: Table, nets: list[str], tmp_path: Path
) -> None:
    facts = (ROOT / "device_agents/devices/simulated-iphone.toml").read_text()
    facts = facts.replace("= 400.0", f"= {PHONE.gmacs_per_s}")
    phone = tmp_path / "slow-iphone.toml"
    phone.write_text(facts.replace("gb_per_s = 30.0", f"gb_per_s = {PHONE.gb_per_s}"))
    words = ("--table", str(table.path), "--device", str(phone), "--fast", "--quiet")
    done = bench.call("compare", *nets, *words, "--format", "csv")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["kind"] for row in rows} == {"simulated"}
    assert [row["winner"] for row in rows] == ["True", "False"] * 2
    times = [float(row["latency_us"]) for row in rows]
    truths = [PHONE.program_us(MINI.architecture([w] * 6, w).operators) for w in ("k3_e1", "k5_e6")]
    np.testing.assert_allclose(times, np.tile(truths, 2), rtol=0.03)


def search(bench: Bench, monkeypatch: pytest.MonkeyPatch, *words: str) -> Finished:
    """`python -m search` in this process."""
    from search.cli import app as cli

    monkeypatch.setattr("tests.profiler.conftest.main", cli.main)
    return bench.call(*words, "--quiet")


TARGET_MS = 0.45


def check_found(folder: Path, table: Table) -> dict[str, Any]:
    """The network written meets the target by the table, and on the phone itself."""
    result: dict[str, Any] = json.loads((folder / "net.result.json").read_text())
    assert result["table_source"] == "simulated"
    assert result["table_id"] == table.manifest.table_id
    assert "--allow-simulated" in result["waivers"]
    chosen = result["chosen"]
    assert chosen["meets_target"]
    truth_us = PHONE.program_us(MINI.architecture(chosen["choices"]).operators)
    assert chosen["predicted_us"] == pytest.approx(truth_us, rel=0.03)
    assert truth_us <= 1000 * TARGET_MS * 1.03
    return result


def test_exact_selection_takes_the_best_network_that_meets_the_target(
    bench: Bench, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = max(len(layer.choices) for layer in MINI.layers)
    values = np.full((len(MINI.layers), width), -np.inf)
    for row, layer in zip(values, MINI.layers, strict=True):
        row[: len(layer.choices)] = [-float(choice.name == "skip") for choice in layer.choices]
        row[[choice.name for choice in layer.choices].index("k5_e6")] = 1
    write_scores(Scores(values=values, space=MINI.spec, origin="made up"), tmp_path / "s.json")
    words: tuple[str, ...] = ("--table", str(table.path), "--target-ms", str(TARGET_MS))
    words += ("--algorithm", "exact")
    words += ("--scores", str(tmp_path / "s.json"), "-o", str(tmp_path / "net.json"))
    refused = search(bench, monkeypatch, *words)
    assert refused.code == 1
    assert "--allow-simulated" in refused.err
    done = search(bench, monkeypatch, *words, "--allow-simulated")
    assert done.code == 0, done.err
    chosen = check_found(tmp_path, table)["chosen"]["choices"]
    assert chosen.count("k5_e6") >= 1
    assert "skip" not in chosen


def test_random_search_finds_a_network_that_meets_the_target(
    bench: Bench, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="the search trains with torch")
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    done = search(
        bench, monkeypatch, "--table", str(table.path), "--target-ms", str(TARGET_MS),
        "--algorithm", "random", "--budget", "2", "--epochs", "1", "--data", "digits",
        "--limit", "32", "--batch", "16", "--threads", "1", "--allow-simulated",
        "-o", str(tmp_path / "net.json"),
    )  # fmt: skip
    assert done.code == 0, done.err
    result = check_found(tmp_path, table)
    assert result["algorithm"] == "random"
    assert len(result["candidates"]) == 2


def test_the_table_reads_back_with_its_chains(table: Table) -> None:
    assert table.path is not None
    assert read_table(table.path).manifest.protocol.chain_lengths == (1, 4, 16)
