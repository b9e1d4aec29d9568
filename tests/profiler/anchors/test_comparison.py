"""Networks measured beside a table of their own setting, on a machine that has moved."""

import csv
import io
import json

import pytest

from device_agents.simulated.truth import Truth
from search.architecture import write_architecture
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import Table
from tests.profiler.anchors.conftest import slowed
from tests.profiler.conftest import Bench, Finished

MINI = make_space("fbnet-mini")
SMALL = MINI.architecture(["k3_e1"] * len(MINI.layers), "small")
SLOWER = 1.08


def compare(bench: Bench, table: Table, device: str, *words: str) -> Finished:
    path = bench.folder / "small.json"
    write_architecture(SMALL, path)
    tables = ["--table", str(table.path)]
    return bench.call(
        "compare", str(path), *tables, "--device", device, "--fast", "--quiet", *words
    )


def steady_device(bench: Bench, factor: float = 1.0, **options: object) -> str:
    return bench.device(noise=0.005, clock_khz=2_000_000, **slowed(factor), **options)


def test_predicted_cells_are_restated_for_the_machine_as_it_is(bench: Bench, steady: Table) -> None:
    done = compare(bench, steady, steady_device(bench, SLOWER), "--format", "json")
    found = json.loads(done.out)
    predicted, measured = found["cells"]
    estimate = LatencyModel(steady).estimate(SMALL)
    assert predicted["table_us"] == pytest.approx(estimate.value_us)
    assert predicted["latency_us"] == pytest.approx(estimate.value_us * SLOWER, rel=0.01)
    assert predicted["low_us"] < measured["latency_us"] < predicted["high_us"]
    (state,) = found["states"]
    assert state["machine"]["factor"] == pytest.approx(SLOWER, rel=0.01)
    (agreement,) = found["agreements"]
    assert agreement["within"] is True
    assert abs(agreement["difference"]) < 0.02
    assert agreement["at_clock"] == pytest.approx(1 / SLOWER - 1, abs=0.02)


def test_the_printed_comparison_says_how_the_machine_is(bench: Bench, steady: Table) -> None:
    done = compare(bench, steady, steady_device(bench, SLOWER))
    assert "A is restated for the machine of B as it is, which is" in done.out
    assert "slower than when the table was made" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_csv_keeps_what_the_table_itself_says(bench: Bench, steady: Table) -> None:
    done = compare(bench, steady, steady_device(bench, SLOWER), "--format", "csv")
    predicted, measured = csv.DictReader(io.StringIO(done.out))
    assert float(predicted["table_us"]) < float(predicted["latency_us"])
    assert measured["table_us"] == ""


def test_a_table_of_another_setting_is_left_as_it_is(bench: Bench) -> None:
    other = bench.measure(
        Truth(noise=0.005), bench.settings(threads=2, exam=0, calibration=8, passes=2)
    )
    done = compare(bench, other, steady_device(bench, SLOWER), "--format", "json")
    found = json.loads(done.out)
    assert found["states"] == []
    assert found["cells"][0]["table_us"] is None


def test_a_table_without_anchors_is_left_as_it_is_and_says_why(bench: Bench) -> None:
    shaky = bench.measure(Truth(noise=0.3), bench.settings(target_relative_ci=0.9))
    found = json.loads(compare(bench, shaky, steady_device(bench), "--format", "json").out)
    assert found["cells"][0]["table_us"] is None
    (state,) = found["states"]
    assert state["machine"] is None
    assert "not compared with its state then" in state["notes"][0]
