"""Whole campaigns on the simulated device, against its truth."""

import itertools
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deploy.artefact import ExportSpec
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign import run as campaign_run
from profiler.journal import Journal
from profiler.planning.plan import make_plan
from profiler.tables.summary import summary
from profiler.tables.versions import table_stem
from search.errors import TableError, UsageError
from search.latency.model import LatencyModel
from search.latency.trust import table_problems
from search.operators.spec import OperatorSpec
from search.spaces.registry import parse_space
from search.table.manifest import CpuIdentity, DeviceInfo
from search.table.store import Table, read_table


def predictions(table: Table, truth: Truth, number: int = 200) -> np.ndarray:
    """Predicted over true latency of random networks that no one measured."""
    space, draw = parse_space(table.manifest.space.spec), random.Random(99)
    model = LatencyModel(table)
    networks = [space.random_architecture(draw, f"n{k}") for k in range(number)]
    return np.array(
        [
            model.estimate(network).value_us / truth.program_us(network.operators)
            for network in networks
        ]
    )


def in_context_us(truth: Truth, key: str) -> float:
    """The true time of one operator alone."""
    from search.operators.spec import parse_key

    return truth.program_us((parse_key(key),))


def test_a_campaign_covers_the_whole_space(measured: Table) -> None:
    space = parse_space(measured.manifest.space.spec)
    info = measured.manifest.space
    assert [entry.key for entry in measured.entries] == [o.key for o in space.operators]
    assert info.operators_expected == info.operators_measured == len(space.operators)
    assert info.operators_missing == info.operators_failed == info.operators_unstable == 0
    assert info.candidates == sum(len(layer.choices) for layer in space.layers)
    for layer in space.layers:
        for choice in layer.choices:
            assert choice.is_skip or measured.lookup(choice.operator).status == "ok"


def test_a_simulated_table_says_so_wherever_it_is_read(measured: Table) -> None:
    manifest = measured.manifest
    assert manifest.source == "simulated"
    assert manifest.device.kind == "simulated"
    assert "[simulated]" in measured.label
    assert "SIMULATED, NOT MEASURED" in summary(measured)[1]


def test_each_row_lies_within_2_percent_of_the_truth(measured: Table) -> None:
    for entry in measured.entries:
        assert entry.known_time.centre_us == pytest.approx(
            in_context_us(Truth(), entry.key), rel=0.02
        )


def test_the_dispatch_floor_is_the_true_cost_of_an_empty_program(measured: Table) -> None:
    assert measured.manifest.protocol.dispatch_floor_us == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize(
    "truth",
    [
        Truth(seed=3),
        Truth(seed=4, dispatch_us=40, boundary_us_per_mb=200),
        Truth(seed=5, drift_per_s=0.02),
        Truth(seed=6, throttle_after_s=1.0, throttle_for_s=0.3),
        Truth(seed=7, preemption=0.2, outliers=0.03),
    ],
    ids=["plain", "dear dispatch and boundaries", "drift", "throttling", "preemption"],
)
def test_networks_are_predicted_to_within_2_percent_of_the_truth(bench, truth: Truth) -> None:
    table = bench.measure(truth, bench.settings(passes=8, calibration=20))
    ratios = predictions(table, truth)
    # Drift makes every network slower by the same share, the table too: what
    # counts is that it prices them against each other.
    ratios = ratios / np.median(ratios) if truth.drift_per_s else ratios
    assert np.abs(ratios - 1).max() < 0.02
    assert table.manifest.exam is not None
    assert table.manifest.exam.passed


def test_drift_of_the_device_is_recorded(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    steady = bench.measure(settings=settings).manifest.protocol.sentinel_drift
    drifting = bench.measure(Truth(drift_per_s=0.1), settings).manifest.protocol.sentinel_drift
    assert steady == pytest.approx(0, abs=0.01)
    assert drifting > 0.05


def test_blocks_under_throttling_are_rejected_and_leave_the_rows_true(bench) -> None:
    truth = Truth(throttle_after_s=0.8, throttle_for_s=0.2, throttle_factor=1.6)
    table = bench.measure(truth, bench.settings(calibration=0, exam=0, passes=8))
    assert sum(entry.sampling.rejected_blocks for entry in table.entries) > 100
    for entry in table.entries:
        assert entry.known_time.centre_us == pytest.approx(
            in_context_us(truth, entry.key), rel=0.02
        )


def test_the_same_seed_gives_the_same_table(bench, tmp_path: Path) -> None:
    first = bench.measure()
    second = bench.measure(output=tmp_path / "elsewhere")
    other = bench.measure(settings=bench.settings(seed=1), output=tmp_path / "third")
    assert first.path is not None
    assert second.path is not None
    for name in ("entries.csv", "samples.parquet", "exam.csv"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    assert first.manifest.calibration == second.manifest.calibration
    assert [e.known_time.centre_us for e in other.entries] != [
        e.known_time.centre_us for e in first.entries
    ]


def test_samples_are_raw_unique_and_as_many_as_asked_for(measured: Table) -> None:
    samples, protocol = measured.samples(), measured.manifest.protocol
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert samples.groupby("item").size().eq(protocol.passes * protocol.rounds_per_pass).all()
    assert pd.api.types.is_integer_dtype(samples["ns"])
    assert {entry.key for entry in measured.entries} <= set(samples["item"])
    assert samples["freq_khz"].isna().all()


def test_what_is_read_back_is_what_was_returned(bench) -> None:
    table = bench.measure()
    assert table.path is not None
    again = read_table(table.path)
    assert again.manifest.table_id == table.manifest.table_id
    assert [e.key for e in again.entries] == [e.key for e in table.entries]
    assert len(again.exam) == table.manifest.exam.networks


def test_the_journal_is_gone_when_the_table_is_written(bench) -> None:
    bench.measure()
    assert [path.name for path in bench.output.iterdir()] == ["simulated"]


def test_measuring_again_makes_the_next_version_that_names_its_parent(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    tables = [bench.measure(settings=settings) for _ in range(3)]
    stem = table_stem(settings)
    assert [path.name for path in bench.written()] == [f"{stem}-v{k}" for k in (1, 2, 3)]
    parents = [table.manifest.parent_id for table in tables]
    assert parents == [None, tables[0].manifest.table_id, tables[1].manifest.table_id]


class _Host(SimulatedAgent):
    """A simulated device that gives itself out as a machine with these facts."""

    processor: CpuIdentity | None = None

    def info(self) -> DeviceInfo:
        facts = {"kind": "host", "id": "host-amd-epyc", "cpu": "AMD EPYC"}
        return super().info().model_copy(update={**facts, "processor": self.processor})


@pytest.mark.parametrize(
    ("first", "second", "is_parent"),
    [
        (CpuIdentity(family=25, model=17), CpuIdentity(family=25, model=17), True),
        (CpuIdentity(family=25, model=17), CpuIdentity(family=26, model=2), False),
        (None, CpuIdentity(family=25, model=17), False),
        (None, None, False),
    ],
)
def test_a_table_is_a_parent_only_if_the_same_processor_is_known_to_have_measured_it(
    bench, first: CpuIdentity | None, second: CpuIdentity | None, is_parent: bool
) -> None:
    settings = bench.settings(calibration=0, exam=0)
    tables = []
    for processor in (first, second):
        agent = _Host(bench.agent_settings(), Truth())
        agent.processor = processor
        tables.append(bench.measure(settings=settings, agent=agent))
    assert [path.name[-3:] for path in bench.written()] == ["-v1", "-v2"]
    assert tables[1].manifest.parent_id == (tables[0].manifest.table_id if is_parent else None)


_MACHINE = DeviceInfo(
    id="host-1", kind="host", cpu="AMD EPYC", processor=CpuIdentity(family=25, model=17, cores=2)
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"id": "host-2", "processor": CpuIdentity(family=25, model=17, cores=4)},
            r"host-1, not host-2 \(different processors, AMD EPYC: cores 2 and 4\)",
        ),
        ({"os_build": "6.2", "ram_mb": 5}, "it differs in os_build, ram_mb"),
    ],
)
def test_a_campaign_goes_on_only_on_its_device_and_the_difference_is_named(
    bench, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with Journal(tmp_path / "journal.sqlite", bench.settings().identity) as journal:
        campaign_run._check_device(journal, _MACHINE)
        campaign_run._check_device(journal, _MACHINE)
        with pytest.raises(UsageError, match=words):
            campaign_run._check_device(journal, _MACHINE.model_copy(update=change))
        journal.set_fact("device", '{"mood": "good"}')
        with pytest.raises(UsageError, match="one that this kit does not know"):
            campaign_run._check_device(journal, _MACHINE)


def test_a_partial_table_never_becomes_the_parent_of_a_whole_one(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    part = bench.measure(settings=replace(settings, filter="_k5_"))
    whole = bench.measure(settings=settings)
    assert part.manifest.title.endswith("-partial-v1")
    assert whole.manifest.parent_id is None
    assert whole.manifest.title.endswith("-v1")


def test_a_filter_measures_its_operators_and_no_networks(bench) -> None:
    table = bench.measure(settings=bench.settings(filter="^ir_k5"))
    assert table.entries
    assert all(entry.key.startswith("ir_k5") for entry in table.entries)
    assert table.manifest.exam is None
    assert table.manifest.calibration is None
    assert table_problems(table) == []


def test_context_and_settings_are_recorded(bench) -> None:
    settings = bench.settings(calibration=0, exam=0, max_temperature_c=70.0)
    table = bench.measure(settings=settings, context={"room": "cold"}, notes=("by hand",))
    assert table.manifest.context == {"room": "cold"}
    assert "by hand" in table.manifest.notes
    assert table.manifest.protocol.temperature_limit_c == 70


def test_int8_is_a_table_of_its_own_and_is_faster(bench, measured: Table) -> None:
    space = measured.manifest.space.spec.replace("fp32", "int8")
    table = bench.measure(settings=bench.settings(dtype="int8", space=space))
    assert {entry.operator.dtype for entry in table.entries} == {"int8"}
    assert "int8" in table.manifest.title
    total = [sum(entry.known_time.centre_us for entry in t.entries) for t in (table, measured)]
    assert total[0] < total[1]


def test_a_campaign_without_exam_networks_has_no_exam_and_says_so(bench) -> None:
    table = bench.measure(settings=bench.settings(exam=0))
    assert table.manifest.exam is None
    assert any("no exam" in problem for problem in table_problems(table))


def test_an_operator_that_never_settles_is_marked_and_named(bench) -> None:
    victim = make_plan(bench.settings()).operators[7].key
    settings = bench.settings(extra_passes=1, calibration=0, exam=0, target_relative_ci=0.05)
    table = bench.measure(Truth(wide=victim), settings)
    unstable = [entry for entry in table.entries if entry.status == "unstable"]
    assert victim in [entry.key for entry in unstable]
    assert all(entry.reason for entry in unstable)
    assert victim in " ".join(summary(table))


class OneWideRow(SimulatedAgent):
    """The classifier alone is as fast as it is by chance each time it is loaded."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._factors = itertools.cycle((0.8, 1.2, 0.9, 1.1))
        self._factor = 1.0

    def _placement(self, specs: tuple[OperatorSpec, ...]) -> str | None:
        if self._is_alone(specs):
            self._factor = next(self._factors)
        return super()._placement(specs)

    def _call_ns(self, specs: tuple[OperatorSpec, ...]) -> float:
        return super()._call_ns(specs) * (self._factor if self._is_alone(specs) else 1.0)

    @staticmethod
    def _is_alone(specs: tuple[OperatorSpec, ...]) -> bool:
        return len(specs) == 1 and specs[0].kind == "classifier"


def test_a_wide_row_is_listed_costs_no_pass_and_fails_nothing(bench) -> None:
    settings = bench.settings(target_relative_ci=0.04)
    table = bench.measure(
        agent=OneWideRow(bench.agent_settings(), Truth(outliers=0)), settings=settings
    )
    (wide,) = [entry for entry in table.entries if entry.status == "unstable"]
    assert wide.sampling.passes == settings.effort.passes
    assert table_problems(table) == []
    assert f"wide       {wide.key} +-" in "\n".join(summary(table))


def test_extra_passes_are_taken_only_while_something_is_unstable(bench) -> None:
    settings = bench.settings(calibration=0, exam=0, target_relative_ci=0.08)
    calm = bench.measure(Truth(outliers=0), replace(settings, filter="ir_k3_e1"))
    wild = bench.measure(Truth(noise=0.5), replace(settings, filter="ir_k3_e1"))
    assert calm.samples()["pass"].max() == settings.effort.passes - 1
    last = settings.effort.passes + settings.effort.extra_passes - 1
    assert wild.samples()["pass"].max() == last


def test_no_table_of_another_name_counts_as_an_earlier_version(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    folder = bench.output / "simulated"
    for name in (f"{table_stem(settings)}-vx", f"{table_stem(settings)}-partial-v7"):
        (folder / name).mkdir(parents=True)
    table = bench.measure(settings=settings)
    assert table.manifest.title.endswith("-v1")


def test_an_empty_folder_in_the_place_of_the_next_version_does_not_cost_the_campaign(
    bench,
) -> None:
    settings = bench.settings(calibration=0, exam=0)
    (bench.output / "simulated" / f"{table_stem(settings)}-v1").mkdir(parents=True)
    table = bench.measure(settings=settings)
    assert table.path is not None
    assert read_table(table.path).entries


def test_a_damaged_earlier_version_is_refused_before_anything_is_measured(bench) -> None:
    settings = bench.settings(calibration=0, exam=0)
    folder = bench.output / "simulated" / f"{table_stem(settings)}-v1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{ not json")
    agent = bench.agent()
    with pytest.raises(TableError, match="damaged"):
        bench.measure(settings=settings, agent=agent)
    assert agent._busy_ns == 0


def test_networks_of_the_exam_were_not_used_in_the_calibration(bench, measured: Table) -> None:
    plan = make_plan(bench.settings())
    fitted = {subject.operators for subject in plan.calibration}
    examined = {subject.name: subject.operators for subject in plan.exam}
    assert set(measured.exam["network"]) == set(examined)
    assert not fitted & set(examined.values())
    assert measured.manifest.calibration.networks == len(plan.calibration)


def test_examined_networks_were_measured_as_wholes(bench, measured: Table) -> None:
    subjects: dict[str, ExportSpec] = {s.name: s for s in make_plan(bench.settings()).exam}
    for name, measured_us in zip(
        measured.exam["network"], measured.exam["measured_us"], strict=True
    ):
        assert measured_us == pytest.approx(Truth().program_us(subjects[name].operators), rel=0.02)
        assert math.isfinite(measured_us)
