"""What a campaign finds out about networks beside their time: memory, loading, size."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deploy.artefact import ExportSpec
from deploy.build import build_one
from deploy.exporters.registry import exporter_entry
from deploy.verification.details import footprint_lines
from deploy.verification.device_side import DeviceOptions, VerificationRequest
from device_agents.protocol import Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.tables.summary import summary
from profiler.verification.device_side import device_side
from search.architecture import write_architecture
from search.errors import DeviceLost
from search.latency.peak_memory import estimate_memory
from search.spaces.registry import make_space
from search.table.exam import NEEDS_COLUMNS
from search.table.manifest import TABLE_SCHEMA
from search.table.store import Table, read_table
from tests.profiler.conftest import Bench

OpenBench = Callable[[Path], AbstractContextManager[Bench]]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, bench_at: OpenBench) -> Table:
    with bench_at(tmp_path_factory.mktemp("needs")) as bench:
        return bench.measure(memory=True)


def test_a_table_holds_size_loading_first_call_and_peak_memory_of_its_exam(table: Table) -> None:
    assert table.path is not None
    exam = read_table(table.path).exam
    for name in NEEDS_COLUMNS:
        assert (exam[name] > 0).all(), name
    assert (exam["load_us"] == 1000).all()
    assert exam["memory_kb"].nunique() > 3


def test_the_memory_model_foretells_networks_that_it_has_not_seen(table: Table) -> None:
    model = table.manifest.memory
    assert model is not None
    assert model.runner_kb == round(Truth().runner_mb * 1e6 / 1024)
    assert model.exam is not None
    assert model.exam.networks == len(table.exam)
    assert model.exam.max_relative_error < 0.1
    errors = table.exam["predicted_memory_kb"] / table.exam["memory_kb"] - 1
    assert float(errors.abs().max()) == pytest.approx(model.exam.max_relative_error, abs=1e-3)


def test_the_summary_tells_peak_memory_its_error_and_what_loading_takes(table: Table) -> None:
    text = "\n".join(summary(table))
    assert "beside 8.0 MB of the runner" in " ".join(text.split())
    assert "95 % interval" in " ".join(text.split())
    assert "loading 1.0 to 1.0 ms" in " ".join(text.split())


class _Counting(SimulatedAgent):
    """Counts plans of one network alone; breaks the connection at one of them."""

    alone = 0
    breaks_at: int | None = None

    def run(self, plan: Plan) -> Iterator[Record]:
        if plan.rounds == 1 and plan.sentinel is None:
            self.alone += 1
            if self.alone == self.breaks_at:
                self.breaks_at = None
                raise DeviceLost("The cable fell out.")
        yield from super().run(plan)


def test_a_connection_that_breaks_once_costs_one_more_try(bench: Bench) -> None:
    agent = _Counting(bench.agent_settings(), Truth())
    agent.breaks_at = 7
    table = bench.measure(agent=agent, memory=True)
    assert table.exam["memory_kb"].notna().all()
    networks = bench.settings().effort.calibration + bench.settings().effort.exam
    assert agent.alone == 3 + 3 * networks + 1  # small ones, thrice each


class _Silent(SimulatedAgent):
    """Its runner does not tell its memory."""

    def _max_rss_kb(self, _programs: object) -> None:
        return None


def test_a_runner_that_does_not_tell_its_memory_makes_a_table_without_it(bench: Bench) -> None:
    table = bench.measure(agent=_Silent(bench.agent_settings(), Truth()), memory=True)
    assert table.manifest.memory is None
    assert any("does not tell it" in note for note in table.manifest.notes)
    assert any("memory     of networks is not told" in line for line in summary(table))
    assert not set(NEEDS_COLUMNS) & set(table.exam)
    assert table.manifest.exam is not None


class _Slow(_Counting):
    """Its runner takes seconds to start, by the clock of the test."""


def test_a_runner_that_starts_slowly_measures_fewer_networks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.measuring.memory._SLOW_S", -1.0)
    agent = _Slow(bench.agent_settings(), Truth())
    table = bench.measure(agent=agent, memory=True)
    assert agent.alone == 1 + 12 + 8
    assert table.manifest.memory is not None
    assert table.manifest.memory.networks == 12
    assert table.exam["memory_kb"].notna().sum() == 8


class _Shared(SimulatedAgent):
    """Several devices share its work: none of them measures a network alone."""

    starts_fresh = False


def test_devices_that_share_the_work_say_that_they_tell_no_memory(bench: Bench) -> None:
    table = bench.measure(agent=_Shared(bench.agent_settings(), Truth()), memory=True)
    assert table.manifest.memory is None
    assert any("measure no network alone" in note for note in table.manifest.notes)


def test_compare_states_memory_as_predicted_and_as_measured(table: Table, bench: Bench) -> None:
    space = make_space("fbnet-mini")
    net = bench.folder / "net.json"
    write_architecture(space.architecture(["k5_e3"] * len(space.layers), "net"), net)
    words = ["compare", str(net), "--table", str(table.path), "--device", "simulated", "--quiet"]
    found = bench.call(*words, "--fast", "--format", "json")
    assert found.code == 0, found.err
    predicted, measured = json.loads(found.out)["cells"]
    assert predicted["memory_low_kb"] < predicted["memory_kb"] < predicted["memory_high_kb"]
    assert measured["memory_low_kb"] is None
    assert predicted["memory_kb"] == pytest.approx(measured["memory_kb"], rel=0.05)
    assert measured["memory_kb"] == measured["footprint"]["peak_rss_kb"] - round(8e6 / 1024)
    shown = bench.call(*words, "--fast")
    (head,) = [line for line in shown.out.splitlines() if line.startswith("beside time")]
    assert "own MB" in head
    assert shown.out.count("+-", shown.out.index(head)) >= 1
    rows = bench.call("compare", str(net), "--table", str(table.path), "--format", "csv").out
    assert "memory_kb" in rows.splitlines()[0]


def test_a_proof_states_the_predicted_memory_beside_the_measured_one(
    table: Table, bench: Bench
) -> None:
    space = make_space("fbnet-mini")
    network = space.architecture(["k3_e6"] * len(space.layers), "net")
    export = ExportSpec(name="net", operators=network.operators)
    request = VerificationRequest(
        architecture=network,
        export=export,
        artefact=build_one(export, exporter_entry("simulated", "fp32")),
        device=DeviceOptions(name="simulated", preset="fast"),
        chunks=(),
        table=table.path,
        quiet=True,
    )
    report = device_side.verify(request)
    memory = report.memory_prediction
    assert memory is not None
    assert report.footprint is not None
    assert memory.measured_kb == report.footprint.own_kb
    assert memory.difference == pytest.approx(0, abs=0.05)
    lines = "\n".join(footprint_lines(report.footprint, memory))
    assert "predicted as the network's own" in lines
    assert "measured: predicted is" in lines
    assert memory.content()["within"] in (True, False)


def test_memory_can_be_left_out(bench: Bench) -> None:
    assert bench.call(*bench.words("--no-memory", "--quiet")).code == 0
    manifest = read_table(bench.written()[0]).manifest
    assert manifest.memory is None
    assert manifest.schema_version == TABLE_SCHEMA
    assert "no memory of networks: it was not asked for" in manifest.notes


def test_predictions_of_the_memory_model_are_those_written_with_the_exam(table: Table) -> None:
    from profiler.planning.networks import draw_networks
    from search.spaces.registry import parse_space

    model = table.manifest.memory
    assert model is not None
    networks = {
        one.name: one for one in draw_networks(parse_space(table.manifest.space.spec), 32, 0)
    }
    for row in table.exam.itertuples():
        found = estimate_memory(model, networks[str(row.network)].operators)
        assert found.value_kb == pytest.approx(row.predicted_memory_kb, abs=0.51)
