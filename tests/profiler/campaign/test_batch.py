"""Tables, deployments and comparisons of calls on several images (`--batch`)."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.artefact import ExportSpec
from deploy.build import build_one
from deploy.exporters.registry import exporter_entry
from deploy.verification.device_side import DeviceOptions, VerificationRequest
from profiler.comparison.states import table_label
from profiler.tables.predict import predict_network
from profiler.tables.summary import summary
from profiler.verification.device_side import device_side
from search.architecture import write_architecture
from search.errors import UsageError
from search.pipeline.problem import Waivers, load_problem
from search.spaces.registry import make_space
from search.table.store import Table
from search.zoo.resolve import NamedNetwork
from tests.profiler.conftest import Bench

OpenBench = Callable[[Path], AbstractContextManager[Bench]]
MINI = make_space("fbnet-mini")
NETWORK = MINI.architecture(["k3_e3"] * len(MINI.layers), "net")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory, bench_at: OpenBench) -> Table:
    """A table of four images a call."""
    with bench_at(tmp_path_factory.mktemp("four")) as bench:
        return bench.measure(settings=bench.settings(space=make_space("fbnet-mini", batch=4).spec))


def test_a_table_of_four_images_a_call_says_so_in_its_name_and_its_summary(four: Table) -> None:
    assert "-b4-fp32-simulated" in four.manifest.title
    assert four.batch == 4
    assert any("4 images a call" in line for line in summary(four))
    assert table_label(four).endswith(" t1 b4")
    exam = four.manifest.exam
    assert exam is not None
    assert exam.passed


def test_four_images_a_call_take_longer_than_one_and_less_than_four_calls(
    four: Table, measured: Table
) -> None:
    network = NamedNetwork(name="net", architecture=NETWORK)
    whole = predict_network(four, network)
    single = predict_network(measured, network)
    assert whole.architecture.batch == 4
    ratio = whole.estimate.value_us / single.estimate.value_us
    assert 2 < ratio < 4


def test_the_command_takes_a_batch_and_refuses_what_means_nothing(bench: Bench) -> None:
    said = bench.call(*bench.words("--batch", "2", "--dry-run", "--format", "json"))
    assert json.loads(said.out)["space"].endswith("-b2-fp32")
    for batch in ("0", "-3", "5000"):
        refused = bench.call(*bench.words(f"--batch={batch}", "--dry-run"))
        assert refused.code == 2
        assert "images a call mean nothing" in refused.err
    spec = ["--device", "simulated", "--space", MINI.spec, "--batch", "2", "--dry-run"]
    refused = bench.call(*spec)
    assert refused.code == 2
    assert "already says" in refused.err


def test_a_search_on_such_a_table_finds_networks_of_that_batch(four: Table) -> None:
    assert four.path is not None
    waivers = Waivers(simulated=True)
    problem = load_problem(four.path, None, waivers, target_share=0.5)
    assert problem.network([0] * len(problem.space.layers), "x").batch == 4


def _request(tables: Path, batch: int, **changes: object) -> VerificationRequest:
    network = NETWORK.with_batch(batch)
    subject = ExportSpec(name="net", operators=network.operators)
    found = VerificationRequest(
        architecture=network,
        export=subject,
        artefact=build_one(subject, exporter_entry("simulated", "fp32")),
        device=DeviceOptions(name="simulated", preset="fast"),
        chunks=(),
        tables=tables,
        quiet=True,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_deployment_states_its_batch_and_images_a_second_and_takes_a_table_of_that_batch(
    bench: Bench, four: Table, measured: Table
) -> None:
    assert four.path is not None
    proof = device_side.verify(_request(four.path.parents[1], 4))
    assert proof.prediction is not None
    assert "-b4-" in proof.prediction.table
    assert abs(proof.prediction.difference) < 0.1
    assert proof.latency is not None
    assert proof.images_per_s == pytest.approx(4e6 / proof.latency.centre_us)
    assert measured.path is not None
    alone = device_side.verify(_request(measured.path.parents[1], 4))
    assert alone.prediction is None
    assert "1 image a call, net takes 4" in " ".join(alone.notes)
    with pytest.raises(UsageError, match="is of 1 image a call, net takes 4"):
        device_side.verify(_request(measured.path.parents[1], 4, table=measured.path))


def test_a_comparison_sets_calls_of_one_batch_side_by_side(
    bench: Bench, four: Table, tmp_path: Path
) -> None:
    net = tmp_path / "net.json"
    write_architecture(NETWORK, net)
    words = ["compare", str(net), "--device", "simulated", "--fast", "--quiet"]
    words += ["--table", str(four.path), "--format", "json"]
    found = json.loads(bench.call(*words, "--batch", "4").out)
    assert [column["batch"] for column in found["columns"]] == [4, 4]
    assert [agreement["network"] for agreement in found["agreements"]] == ["net"]
    one = json.loads(bench.call(*words).out)
    assert [column["batch"] for column in one["columns"]] == [4, 1]
    assert one["agreements"] == []
    text = bench.call(*words[:-2], "--batch", "4").out
    assert "images/s, 4 images a call" in text


def test_networks_of_different_batches_need_one_to_be_named(bench: Bench, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_architecture(replace(NETWORK, name="one"), one)
    write_architecture(replace(NETWORK, name="two").with_batch(2), two)
    refused = bench.call("compare", str(one), str(two), "--device", "simulated")
    assert refused.code == 2
    assert "different numbers of images" in refused.err


def test_a_batch_without_a_device_is_refused(bench: Bench, four: Table) -> None:
    words = ["compare", "FBNet-A", "--table", str(four.path), "--batch", "2"]
    refused = bench.call(*words)
    assert refused.code == 2
    assert "--batch is for devices" in refused.err
