"""A deployment on a machine that has moved since its table was made."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.artefact import ExportSpec
from deploy.build import build_one
from deploy.cli import app
from deploy.exporters.registry import exporter_entry
from deploy.verification.device_side import (
    DeviceOptions,
    LatencyPrediction,
    VerificationReport,
    VerificationRequest,
)
from deploy.verification.machine import MachineNow, TodaysPrediction
from device_agents.simulated.truth import Truth
from profiler.analysis.machine_factor import MachineFactor
from profiler.anchors.machine import TableAnchors, for_today
from profiler.anchors.networks import exam_networks
from profiler.verification.device_side import device_side
from search.architecture import write_architecture
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.store import Table
from tests.profiler.anchors.conftest import slowed
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")
NETWORK = MINI.architecture(["k3_e3"] * len(MINI.layers), "net")
SUBJECT = ExportSpec(name="net", operators=NETWORK.operators)
SLOWER = 1.08


def verify(bench: Bench, table: Table, **options: Any) -> VerificationReport:
    device = bench.device(**{"noise": 0.005, "clock_khz": 2_000_000, **options})
    return device_side.verify(
        VerificationRequest(
            architecture=NETWORK,
            export=SUBJECT,
            artefact=build_one(SUBJECT, exporter_entry("simulated", "fp32")),
            device=DeviceOptions(name=device, preset="fast"),
            chunks=(),
            table=table.path,
            quiet=True,
        )
    )


def parts(report: VerificationReport) -> tuple[LatencyPrediction, MachineNow, TodaysPrediction]:
    prediction = report.prediction
    assert prediction is not None
    assert prediction.machine is not None
    assert prediction.today is not None
    return prediction, prediction.machine, prediction.today


@pytest.mark.parametrize("factor", [1.0, SLOWER, 0.93])
def test_machine_and_table_are_told_apart(bench: Bench, steady: Table, factor: float) -> None:
    prediction, machine, today = parts(verify(bench, steady, **slowed(factor, seed=0)))
    assert machine.factor == pytest.approx(factor, rel=0.01)
    assert machine.low < factor < machine.high
    assert machine.clock_factor == pytest.approx(1)
    assert machine.remedy == ""
    assert today.value_us == pytest.approx(prediction.value_us * machine.total)
    assert abs(today.table_error) < 0.02
    assert today.within
    assert today.high_us - today.low_us > (prediction.high_us - prediction.low_us) * machine.total


def test_the_clock_is_stated_apart_from_the_state(bench: Bench, steady: Table) -> None:
    _, machine, today = parts(verify(bench, steady, **slowed(1.05), clock_khz=1_600_000))
    assert machine.factor == pytest.approx(1.05, rel=0.01)
    assert machine.clock_factor == pytest.approx(1.25)
    assert today.within


def test_a_network_that_went_its_own_way_is_the_tables_error_not_the_machines(
    bench: Bench, steady: Table
) -> None:
    shared = {o for network in exam_networks(steady) for o in network.export.operators}
    alone = max(set(NETWORK.operators) - shared, key=Truth().operator_us)
    own = {"flip_on": alone.key, "flip_copies": 1, "flip_factor": 3.0}
    prediction, machine, today = parts(verify(bench, steady, **slowed(SLOWER, **own)))
    assert machine.factor == pytest.approx(SLOWER, rel=0.01)
    assert today.value_us == pytest.approx(prediction.value_us * SLOWER, rel=0.01)
    assert today.table_error > 0.1
    assert not today.within


def test_one_wild_anchor_does_not_move_the_machine(bench: Bench, steady: Table) -> None:
    uses = {operator.key for operator in NETWORK.operators}
    rows = TableAnchors.of(steady, [NETWORK]).rows
    wild = next(row.key for row in rows if row.key not in uses)
    own = {"flip_on": wild, "flip_copies": 1, "flip_factor": 3.0}
    _, machine, today = parts(verify(bench, steady, **slowed(SLOWER, **own)))
    assert machine.anchors == len(rows)
    assert machine.factor == pytest.approx(SLOWER, rel=0.01)
    assert machine.remedy == ""
    assert today.within


def test_predictions_of_what_follows_the_state_by_half_move_by_half(steady: Table) -> None:
    estimate = LatencyModel(steady).estimate(NETWORK)
    factor = MachineFactor(factor=1.21, low=1.19, high=1.23, spread=0.01, anchors=())
    whole, half = for_today(estimate, factor), for_today(estimate, factor, 0.5)
    assert whole.value_us == pytest.approx(1.21 * estimate.value_us)
    assert half.value_us == pytest.approx(1.1 * estimate.value_us)
    assert whole.high_us - whole.low_us > half.high_us - half.low_us


def test_a_machine_that_moved_too_far_is_told_the_command(bench: Bench, steady: Table) -> None:
    _, machine, _ = parts(verify(bench, steady, **slowed(1.3)))
    assert (
        "measure the table again: python -m profiler --device simulated --space" in machine.remedy
    )


def test_anchors_that_the_device_refuses_are_named_and_the_rest_go_on(
    bench: Bench, steady: Table
) -> None:
    others = [row.key for row in TableAnchors.of(steady, [NETWORK]).rows]
    refused = next(key for key in others if key not in {o.key for o in NETWORK.operators})
    report = verify(bench, steady, refuse=refused)
    _, machine, _ = parts(report)
    assert machine.anchors == len(others) - 1
    assert any("left out of the comparison of states" in note for note in report.notes)


def test_a_table_without_usable_rows_predicts_as_before_and_says_so(
    bench: Bench, steady: Table
) -> None:
    shaky = bench.measure(Truth(noise=0.3), bench.settings(target_relative_ci=0.9))
    report = verify(bench, shaky)
    assert report.prediction is not None
    assert report.prediction.machine is None
    assert report.prediction.today is None
    assert any("not compared with its state then" in note for note in report.notes)


# --- as a user meets it


def deploy(bench: Bench, table: Table, device: str, *words: str) -> Any:
    path = bench.folder / "net.json"
    write_architecture(NETWORK, path)
    asked = [str(path), "--device", device, "--table", str(table.path), "--fast", "--quiet", *words]
    return CliRunner().invoke(app, asked)


def test_the_printed_report_says_three_things_and_both_targets(bench: Bench, steady: Table) -> None:
    device = bench.device(noise=0.005, clock_khz=2_000_000, **slowed(SLOWER))
    truth_ms = Truth().program_us(NETWORK.operators) / 1e3
    done = deploy(bench, steady, device, "--target-ms", f"{truth_ms * 1.04:.6f}")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("  machine     ") and "slower than when" in line for line in lines)
    assert any("at the same clock" in line for line in lines)
    assert any(line.startswith("  for today   ") for line in lines)
    assert any(line.startswith("  table       measured is") for line in lines)
    assert any(line.endswith(" today: MISSED") for line in lines)
    assert any("at the state of the table it takes" in line and "met" in line for line in lines)
    assert any(line.endswith("] at the state of the table") for line in lines)
    short = [line for line in lines if not line.startswith(("  PROBLEM", "              by sim"))]
    assert max(map(len, short)) <= 80, [line for line in short if len(line) > 80]
    assert "slower than at the state of the table; a search with --target-ms" in done.output


def test_json_csv_and_the_written_record_hold_the_parts(bench: Bench, steady: Table) -> None:
    device = bench.device(noise=0.005, clock_khz=2_000_000, **slowed(SLOWER))
    folder = bench.folder / "out"
    done = deploy(bench, steady, device, "--format", "json", "--output", str(folder))
    printed = json.loads(done.stdout)["proof"]["prediction"]
    assert printed["machine"]["factor"] == pytest.approx(SLOWER, rel=0.01)
    assert set(printed["today"]) == set(asdict_fields())
    (record,) = folder.glob("*.deploy.json")
    written = json.loads(record.read_text())
    assert written["proof"]["prediction"]["machine"] == printed["machine"]
    row = next(csv.DictReader(io.StringIO(deploy(bench, steady, device, "--format", "csv").stdout)))
    assert float(row["machine_factor"]) == pytest.approx(SLOWER, rel=0.01)
    assert row["within_interval"] == "True"


def asdict_fields() -> dict[str, object]:
    empty = TodaysPrediction(
        value_us=1, low_us=1, high_us=1, probability=None, table_error=0, within=True
    )
    return asdict(empty)
