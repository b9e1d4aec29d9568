"""A refinement measures what networks need beyond a table's space, and tells what it did."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.simulated.truth import Truth
from profiler.tables.predict import missing_operators, predict_network
from search.architecture import Architecture, read_architecture, write_architecture
from search.errors import MissingOperator
from search.latency.model import LatencyModel
from search.spaces.registry import make_space, parse_space
from search.table.store import Table, read_table
from search.zoo.resolve import NamedNetwork, find_network
from tests.profiler.conftest import Bench, Finished

EDGE = Path(__file__).parents[2] / "search" / "spaces" / "edge.toml"
OTHER = make_space("uib-mini", resolution=16, classes=4)


@pytest.fixture
def other(bench: Bench) -> Path:
    """A network of another space, for the same images."""
    path = bench.folder / "other.json"
    write_architecture(OTHER.random_architecture(random.Random(1), "other one"), path)
    return path


def measure(bench: Bench, *words: str) -> Table:
    """A whole table of one's own space on the simulated device."""
    done = bench.call(*_words(bench), "--space", str(EDGE), *words)
    assert done.code in (0, 1), done.err
    (folder,) = bench.written()
    return read_table(folder)


def _words(bench: Bench) -> list[str]:
    device = bench.device(noise=0.002)
    return ["--device", device, "--fast", "--precision", "50", "-o", str(bench.output), "-q"]


def refine(bench: Bench, table: Table, network: Path | str, *words: str) -> Finished:
    return bench.call("refine", str(table.path), "--from", str(network), *_words(bench), *words)


def named(path: Path) -> NamedNetwork:
    return find_network(str(path))


def test_what_a_network_lacks_is_measured_with_all_that_was_measured_before(
    bench: Bench, other: Path
) -> None:
    table = measure(bench)
    network = read_architecture(other)
    lacking = missing_operators(LatencyModel(table), network)
    assert lacking
    with pytest.raises(MissingOperator) as caught:
        predict_network(table, named(other))
    assert f"profiler refine {table.path} --from" in caught.value.remedy

    done = refine(bench, table, other)
    assert done.code in (0, 1), done.err
    _, folder = bench.written()
    new = read_table(folder)
    assert folder.name == table.path.name.replace("-v1", "-v2") if table.path else False
    assert {e.key for e in new.entries} == {e.key for e in table.entries} | set(lacking)
    assert new.manifest.space.operators_extra == len(lacking)
    assert new.manifest.parent_id == table.manifest.table_id
    assert parse_space(new.manifest.space.spec) == parse_space(table.manifest.space.spec)

    true_us = Truth().program_us(network.operators)
    assert predict_network(new, named(other)).estimate.value_us == pytest.approx(true_us, rel=0.1)
    notes = "; ".join(new.manifest.notes)
    assert f"refined from {table.manifest.table_id}" in notes
    assert f"{len(lacking)} operators beyond those of the space, measured in one run" in notes
    assert "other one was timed as a whole in the same run" in notes
    assert "stated at the state" in notes


def test_a_second_refinement_keeps_what_the_first_one_added(bench: Bench, other: Path) -> None:
    table = measure(bench)
    refine(bench, table, other)
    first = read_table(bench.written()[-1])
    more = bench.folder / "more.json"
    write_architecture(OTHER.random_architecture(random.Random(2), "more"), more)
    done = refine(bench, first, more)
    assert done.code in (0, 1), done.err
    second = read_table(bench.written()[-1])
    predict_network(second, named(other))
    predict_network(second, named(more))
    assert refine(bench, second, more).code == 2  # nothing is lacking any more


def test_a_table_within_a_budget_gets_both_its_predicted_and_its_missing_rows(
    bench: Bench, other: Path
) -> None:
    table = measure(bench, "--max-operators", "9")
    lacking = missing_operators(LatencyModel(table), read_architecture(other))
    done = refine(bench, table, other)
    assert done.code in (0, 1), done.err
    new = read_table(bench.written()[-1])
    status = {entry.key: entry.status for entry in new.entries}
    assert all(status[key] in ("ok", "unstable") for key in lacking)
    assert new.manifest.prediction is not None


def test_a_dry_run_lists_what_is_missing_and_measures_nothing(bench: Bench, other: Path) -> None:
    table = measure(bench)
    lacking = missing_operators(LatencyModel(table), read_architecture(other))
    done = refine(bench, table, other, "--dry-run", "--format", "json")
    rows = json.loads(done.out)
    assert {row["operator"] for row in rows} == set(lacking)
    assert {(row["status"], row["us"]) for row in rows} == {("missing", None)}
    assert "missing" in refine(bench, table, other, "--dry-run").out
    assert len(bench.written()) == 1


def test_a_network_that_cannot_be_added_is_refused_before_any_work(
    bench: Bench, other: Path
) -> None:
    table = measure(bench)
    network = read_architecture(other)
    twice = bench.folder / "twice.json"
    operators = tuple(replace(operator, batch=2) for operator in network.operators)
    write_architecture(Architecture(name="twice", operators=operators), twice)
    for path, said in ((twice, "takes 2 images a call"), ("FBNet-C", "images of 224 pixels")):
        done = refine(bench, table, path)
        assert done.code == 2
        assert said in done.err
    assert len(bench.written()) == 1


def test_a_partial_table_is_not_refined(bench: Bench, other: Path) -> None:
    table = measure(bench, "--filter", "_k3_")
    done = refine(bench, table, other)
    assert done.code != 0
    assert "holds some operators alone" in done.err
