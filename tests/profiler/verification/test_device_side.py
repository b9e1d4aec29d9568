"""The proof of a deployed network: numbers, time, prediction, in one answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.artefact import ExportSpec
from deploy.build import build_one
from deploy.exporters.registry import exporter_entry
from deploy.verification.device_side import (
    Chunk,
    DeviceOptions,
    VerificationReport,
    VerificationRequest,
    load_device_verifier,
)
from device_agents.base import DeviceState
from device_agents.protocol import Plan, Record, Sample
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.verification import device_side as module
from profiler.verification.device_side import AgentVerifier, device_side
from search.errors import DeviceError, MissingOperator, TableError, UsageError
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.manifest import CpuIdentity
from search.table.store import Table, read_table
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")
NETWORK = MINI.architecture(["k3_e3"] * len(MINI.layers), "net")
SUBJECT = ExportSpec(name="net", operators=NETWORK.operators)


def request(tables: Path, **changes: Any) -> VerificationRequest:
    fields: dict[str, Any] = {
        "architecture": NETWORK,
        "export": SUBJECT,
        "artefact": build_one(SUBJECT, exporter_entry("simulated", "fp32")),
        "device": DeviceOptions(name="simulated", preset="fast"),
        "chunks": (),
        "tables": tables,
        "quiet": True,
    }
    return VerificationRequest(**{**fields, **changes})


def test_the_installed_device_side_is_the_profiler() -> None:
    assert isinstance(load_device_verifier(), AgentVerifier)


def test_defaults_are_those_of_the_device_file() -> None:
    assert device_side.defaults(DeviceOptions(name="simulated")).backend == "simulated"
    with pytest.raises(UsageError, match="Unknown device"):
        device_side.defaults(DeviceOptions(name="toaster"))


def test_a_simulated_device_is_timed_but_computes_nothing_and_says_so(
    bench: Bench, tmp_path: Path
) -> None:
    proof = device_side.verify(request(tmp_path))
    truth = Truth().program_us(NETWORK.operators)
    assert proof.latency.centre_us == pytest.approx(truth, rel=0.03)
    assert proof.source == "simulated"
    assert proof.numbers is None
    assert any("computes nothing" in note for note in proof.notes)
    assert proof.problems == ()


class Computing(SimulatedAgent):
    """Hands back what it is told for any images, as if it were real."""

    source = "measured"
    outputs = b""

    def reserve(self) -> str:
        return "output"

    def collect(self, name: str) -> bytes:
        return self.outputs

    def run(self, plan: Plan) -> Iterator[Record]:
        return iter(()) if plan.items and plan.items[0].output else super().run(plan)


@pytest.mark.parametrize(("factor", "problems"), [(1.0, 0), (1.01, 1)])
def test_numbers_that_are_not_those_of_torch_are_a_problem(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
    problems: int,
) -> None:
    agent = Computing(bench.agent_settings(), Truth())
    monkeypatch.setattr(module, "open_agent", lambda *_: agent)
    expected = np.ones((2, 10), np.float32)
    agent.outputs = (expected * factor).astype(np.float32).tobytes()
    chunk = Chunk(images=np.zeros((2, 3, 32, 32), np.float32), expected=expected)
    proof = device_side.verify(request(tmp_path, chunks=[chunk]))
    assert proof.numbers is not None
    assert proof.numbers.images == 2
    assert len(proof.problems) == problems


class Disturbed(Computing):
    """Others take the core in every block but every `spared`-th one."""

    spared = 0
    blocks = 0

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            if isinstance(record, Sample):
                self.blocks += 1
                calm = self.spared and self.blocks % self.spared == 0
                record = record.model_copy(update={"switches": 0 if calm else 3})
            yield record

    def state(self) -> DeviceState:
        return DeviceState(load_average=7.0)


@pytest.mark.parametrize("spared", [0, 7])
def test_a_disturbed_measurement_says_so_with_the_load_and_keeps_the_numbers(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: int
) -> None:
    agent = Disturbed(bench.agent_settings(), Truth())
    agent.spared = spared
    monkeypatch.setattr(module, "open_agent", lambda *_: agent)
    expected = np.ones((2, 10), np.float32)
    agent.outputs = expected.tobytes()
    chunk = Chunk(images=np.zeros((2, 3, 32, 32), np.float32), expected=expected)
    proof = device_side.verify(request(tmp_path, chunks=[chunk], target_us=1e9))
    assert proof.numbers is not None
    assert proof.numbers.passed
    assert (proof.latency is None) == (spared == 0)
    assert "were preempted by other programs (load average 7.0)" in proof.problems[0]
    assert "--affinity" in proof.problems[0]


# --- prediction and target


def test_the_newest_table_of_the_setting_predicts_with_the_chance_of_meeting_the_target(
    bench: Bench,
) -> None:
    bench.measure()
    written = bench.measure()
    assert written.path is not None
    newest = read_table(written.path)
    estimate = LatencyModel(newest).estimate(NETWORK)
    proof = device_side.verify(request(bench.output, target_us=estimate.value_us * 1.5))
    found = proof.prediction
    assert found is not None
    assert found.table == newest.label
    assert (found.value_us, found.low_us, found.high_us) == (
        estimate.value_us,
        estimate.low_us,
        estimate.high_us,
    )
    assert found.probability == pytest.approx(1, abs=1e-3)
    assert abs(found.difference) < 0.1
    assert found.difference == pytest.approx(found.value_us / proof.latency.centre_us - 1)
    assert found.difference_at_clock is None
    assert proof.problems == ()


def test_a_missed_target_is_a_problem(bench: Bench, tmp_path: Path) -> None:
    proof = device_side.verify(request(tmp_path, target_us=1.0))
    assert proof.problems == ("the target is missed",)


def test_an_unstable_measurement_is_a_problem(bench: Bench, tmp_path: Path) -> None:
    shaky = bench.device(wide=NETWORK.operators[-1].key)
    proof = device_side.verify(request(tmp_path, device=DeviceOptions(name=shaky, preset="fast")))
    assert proof.problems == ("the measurement is unstable",)


def test_tables_of_other_settings_are_passed_over(bench: Bench) -> None:
    bench.measure(settings=bench.settings(threads=2))
    proof = device_side.verify(request(bench.output))
    assert proof.prediction is None
    assert any("no table of this setting" in note for note in proof.notes)


def test_a_newest_table_that_cannot_price_the_network_gives_the_reason(bench: Bench) -> None:
    narrow = make_space("fbnet-mini", head_channels=128).spec
    bench.measure(settings=bench.settings(space=narrow))
    proof = device_side.verify(request(bench.output))
    assert proof.prediction is None
    assert any("has no row conv_k1" in note for note in proof.notes)


def test_a_table_of_other_classes_predicts_with_its_own_classifier_and_says_so(
    bench: Bench,
) -> None:
    bench.measure(settings=bench.settings(space=make_space("fbnet-mini", classes=7).spec))
    proof = device_side.verify(request(bench.output))
    assert proof.prediction is not None
    assert any("classifier of 7 classes, as it has none of 10" in note for note in proof.notes)


def test_a_named_table_of_another_setting_is_refused_with_the_difference(bench: Bench) -> None:
    table = bench.measure(settings=bench.settings(threads=2))
    with pytest.raises(UsageError, match="another setting: threads 2, not 1"):
        device_side.verify(request(bench.output, table=table.path))


def test_a_named_table_of_another_device_is_refused(bench: Bench, measured: Table) -> None:
    class Phone(SimulatedAgent):
        def info(self) -> Any:
            return super().info().model_copy(update={"id": "phone"})

    agent = Phone(bench.agent_settings(), Truth())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_agent", lambda *_: agent)
        with pytest.raises(UsageError, match="device simulated, not phone"):
            device_side.verify(request(bench.output, table=measured.path))


EPYC = CpuIdentity(vendor="AuthenticAMD", family=25, model=17, stepping=1, cores=2)
MACHINE = {"kind": "host", "id": "host-amd-epyc-f25m17s1-1", "cpu": "AMD EPYC", "processor": EPYC}


def machine(bench: Bench, **device: Any) -> SimulatedAgent:
    """A simulated device that gives itself out as this one."""

    class Machine(SimulatedAgent):
        def info(self) -> Any:
            return super().info().model_copy(update=device)

    return Machine(bench.agent_settings(), Truth())


@pytest.mark.parametrize(
    ("old", "chosen", "refusal"),
    [
        ({"id": "an-older-name"}, True, ""),
        ({"id": "host-amd-epyc", "processor": None}, False, ""),
        (
            {"processor": EPYC.model_copy(update={"family": 26, "model": 2})},
            False,
            "different processors, AMD EPYC: family 26 and 25; model 2 and 17",
        ),
    ],
)
def test_a_table_is_chosen_only_if_the_machine_is_known_and_refused_only_if_it_is_another(
    bench: Bench,
    old: dict[str, Any],
    chosen: bool,
    refusal: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = bench.measure(agent=machine(bench, **{**MACHINE, **old}))
    monkeypatch.setattr(module, "open_agent", lambda *_: machine(bench, **MACHINE))
    proof = device_side.verify(request(bench.output))
    assert (proof.prediction is not None) == chosen
    if refusal:
        with pytest.raises(UsageError, match=refusal) as raised:
            device_side.verify(request(bench.output, table=table.path))
        assert "python -m profiler --device host" in raised.value.remedy
        return
    named = device_side.verify(request(bench.output, table=table.path))
    assert named.prediction is not None
    doubts = [note for note in named.notes if "may be of another machine" in note]
    assert bool(doubts) == (not chosen)


def test_a_table_that_does_not_know_its_machine_is_named_with_what_to_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {**MACHINE, "id": "host-amd-epyc", "processor": None}
    table = bench.measure(agent=machine(bench, **old))
    monkeypatch.setattr(module, "open_agent", lambda *_: machine(bench, **MACHINE))
    (note,) = (n for n in device_side.verify(request(bench.output)).notes if "prediction" in n)
    assert "may be of another machine than host-amd-epyc-f25m17s1-1" in note
    assert "many machines are named AMD EPYC" in note
    assert f"name it with --table {table.path}" in note


def test_a_named_table_without_the_operators_is_refused_with_the_command(bench: Bench) -> None:
    table = bench.measure(settings=bench.settings(filter="k5_e6"))
    with pytest.raises(MissingOperator) as raised:
        device_side.verify(request(bench.output, table=table.path))
    assert "python -m profiler" in raised.value.remedy


def test_a_named_table_of_another_resolution_is_refused(bench: Bench, measured: Table) -> None:
    other = make_space("fbnet-mini", resolution=64).architecture(["k3_e1"] * len(MINI.layers))
    subject = ExportSpec(name="other", operators=other.operators)
    asked = request(bench.output, table=measured.path, architecture=other, export=subject)
    with pytest.raises(UsageError, match="64 pixels"):
        device_side.verify(asked)


def test_a_named_folder_that_is_no_table_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="not a table"):
        device_side.verify(request(tmp_path, table=tmp_path))


def test_a_table_without_an_exam_is_said_to_have_none(bench: Bench) -> None:
    table = bench.measure(settings=bench.settings(exam=0))
    proof = device_side.verify(request(bench.output, table=table.path))
    assert proof.prediction is not None
    problem = "no exam: its predictions were compared with nothing"
    assert f"the table has {problem}" in proof.notes


def test_a_network_that_the_device_cannot_run_is_an_error(bench: Bench, tmp_path: Path) -> None:
    refusing = bench.device(refuse=NETWORK.operators[-1].key)
    with pytest.raises(DeviceError, match=r"could not run net: .*refused"):
        device_side.verify(request(tmp_path, device=DeviceOptions(name=refusing, preset="fast")))


def test_an_unknown_preset_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown preset"):
        device_side.verify(request(tmp_path, device=DeviceOptions(name="simulated", preset="x")))


def test_a_proof_lists_every_problem_at_once(bench: Bench, tmp_path: Path) -> None:
    proof = device_side.verify(request(tmp_path, target_us=1.0))
    shaky = replace(proof, latency=replace(proof.latency, stable=False))
    assert isinstance(shaky, VerificationReport)
    assert len(shaky.problems) == 2
