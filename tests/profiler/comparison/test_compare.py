"""Networks x devices: predictions, measurements and published figures, side by side."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.device import load_device
from device_agents.simulated.truth import Truth
from profiler.campaign.network_timing import NetworkTime, NetworkTimes, time_networks
from profiler.comparison.compare import compare
from profiler.comparison.model import Comparison, Run
from profiler.comparison.sources import find_networks
from profiler.comparison.states import setting_label
from profiler.measuring.agents import TimingOptions, timing_settings
from profiler.settings import PRESETS
from profiler.tables.predict import predict_network
from search.console.progress import Silent
from search.errors import MissingOperator, UsageError
from search.latency.model import LatencyModel
from search.spaces.registry import make_space
from search.table.manifest import CpuIdentity, DeviceInfo
from search.table.store import Table
from search.zoo.resolve import NamedNetwork, find_network
from tests.profiler.conftest import Bench

MINI = make_space("fbnet-mini")
SMALL = ["k3_e1"] * len(MINI.layers)
LARGE = ["k5_e6"] * len(MINI.layers)

BenchAt = Callable[[Path], AbstractContextManager[Bench]]


def mini(name: str, choices: list[str]) -> NamedNetwork:
    return NamedNetwork(name=name, architecture=MINI.architecture(choices, name))


NETWORKS = (mini("small", SMALL), mini("large", LARGE))


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory, bench_at: BenchAt) -> Table:
    """A simulated table of the space that the published networks come from."""
    with bench_at(tmp_path_factory.mktemp("full")) as bench:
        return bench.measure(settings=bench.settings(space=make_space("fbnet").spec))


def as_if_measured(table: Table, **protocol: Any) -> Table:
    """The same rows, said to be of a real device."""
    changed = table.manifest.protocol.model_copy(update=protocol)
    update = {"source": "measured", "protocol": changed}
    return replace(table, manifest=table.manifest.model_copy(update=update))


def without(table: Table, part: str) -> Table:
    kept = tuple(entry for entry in table.entries if part not in entry.key)
    assert len(kept) < len(table.entries)
    return replace(table, entries=kept)


def run(networks: tuple[NamedNetwork, ...], label: str = "", truth: Truth | None = None) -> Run:
    """The networks timed on a simulated device."""
    from deploy.artefact import ExportSpec
    from device_agents.base import AgentSettings
    from device_agents.simulated.agent import SimulatedAgent

    subjects = [ExportSpec(name=n.name, operators=n.architecture.operators) for n in networks]
    measuring = TimingOptions(effort=PRESETS["fast"])
    settings = timing_settings(load_device("simulated"), "fp32", measuring)
    asked = AgentSettings(backend="simulated", threads=1, affinity=None)
    with SimulatedAgent(asked, truth or Truth()) as agent:
        timing = time_networks(subjects, agent, settings, Silent())
    return Run(label=label or "simulated fp32 simulated t1", simulated=True, timing=timing)


def kinds(comparison: Comparison) -> list[str]:
    return [column.kind for column in comparison.columns]


# --- cells and verdicts


def test_a_cell_is_what_the_latency_model_says_and_the_lowest_wins(measured: Table) -> None:
    comparison = compare(NETWORKS, [measured])
    model = LatencyModel(measured)
    for network, cell in zip(NETWORKS, comparison.cells, strict=True):
        estimate = model.estimate(network.architecture)
        assert (cell.latency_us, cell.low_us, cell.high_us) == (
            estimate.value_us,
            estimate.low_us,
            estimate.high_us,
        )
    verdict = comparison.verdicts[0]
    assert (verdict.winner, verdict.clear) == ("small", True)
    ratio = verdict.others[0]
    large, small = (model.estimate(n.architecture).value_us for n in reversed(NETWORKS))
    assert ratio.ratio == pytest.approx(large / small)
    assert ratio.low is not None
    assert ratio.high is not None
    assert 1 < ratio.low < ratio.ratio < ratio.high


def test_a_column_says_whether_the_predictions_of_its_table_are_to_be_trusted(
    measured: Table,
) -> None:
    exam = measured.manifest.exam
    assert exam is not None
    failed = exam.model_copy(update={"passed": False})
    for found, trust in (
        (exam, f"exam MAPE {exam.mape.value:.1%}"),
        (failed, f"an exam below the bar: MAPE {exam.mape.value:.2%}"),
        (None, "no exam: its predictions were compared with nothing"),
    ):
        manifest = measured.manifest.model_copy(update={"exam": found})
        (column,) = compare(NETWORKS, [replace(measured, manifest=manifest)]).columns
        assert trust in column.detail
        assert column.detail == f"table {manifest.title}, {manifest.exam_problem or trust}"


def test_networks_that_differ_by_less_than_the_errors_have_no_clear_winner(
    measured: Table,
) -> None:
    twins = (NETWORKS[0], replace(NETWORKS[0], name="twin"))
    assert compare(twins, [measured]).verdicts[0].clear is False


def test_every_column_says_what_its_cells_are(measured: Table) -> None:
    assert kinds(compare(NETWORKS, [measured])) == ["simulated"]
    assert kinds(compare(NETWORKS, [as_if_measured(measured)])) == ["predicted"]
    imported = as_if_measured(measured)
    update = {"source": "imported"}
    imported = replace(imported, manifest=imported.manifest.model_copy(update=update))
    assert kinds(compare(NETWORKS, [imported])) == ["imported"]


def test_a_simulated_table_beside_a_real_one_is_refused_unless_allowed(measured: Table) -> None:
    tables = [measured, as_if_measured(measured)]
    with pytest.raises(UsageError, match="simulated device stands beside") as raised:
        compare(NETWORKS, tables)
    assert "--allow-simulated" in raised.value.remedy
    allowed = compare(NETWORKS, tables, allow_simulated=True)
    assert kinds(allowed) == ["simulated", "predicted"]


def test_a_simulated_run_beside_a_real_table_is_refused(measured: Table, own_cache: Path) -> None:
    with pytest.raises(UsageError, match="simulated device stands beside"):
        compare(NETWORKS, [as_if_measured(measured)], [run(NETWORKS)])


def test_what_is_predicted_is_held_against_what_is_measured_in_the_same_setting(
    measured: Table, own_cache: Path
) -> None:
    comparison = compare(NETWORKS, [measured], [run(NETWORKS), run(NETWORKS, "elsewhere")])
    assert [(a.predicted, a.measured) for a in comparison.agreements] == [(0, 1), (0, 1)]
    assert all(abs(agreement.difference) < 0.1 for agreement in comparison.agreements)
    assert all(agreement.at_clock is None for agreement in comparison.agreements)


def timing(us: float, clock_khz: int | None) -> NetworkTimes:
    from profiler.analysis.blocks import Clock

    clock = clock_khz and Clock(median_khz=clock_khz, low_khz=clock_khz, high_khz=clock_khz)
    timed = {
        network.name: NetworkTime(
            name=network.name,
            centre_us=us,
            low_us=us * 0.99,
            high_us=us * 1.01,
            first_us=None,
            blocks=9,
            passes=3,
            stable=network.name == "small",
            clock_khz=clock_khz,
        )
        for network in NETWORKS
    }
    return NetworkTimes(timed=timed, failed={}, artefacts={}, hello=None, clock=clock or None)


def test_an_agreement_is_also_stated_at_the_clock_of_the_table(measured: Table) -> None:
    table = as_if_measured(measured, clock_khz=2_000_000)
    us = LatencyModel(table).estimate(NETWORKS[0].architecture).value_us
    label = compare(NETWORKS, [table]).columns[0].label
    slow = Run(label=label, simulated=False, timing=timing(us * 2, 1_000_000))
    agreement = compare(NETWORKS, [table], [slow]).agreements[0]
    assert agreement.difference == pytest.approx(-0.5)
    assert agreement.at_clock == pytest.approx(0)


EPYC = CpuIdentity(family=25, model=17)
MACHINE = DeviceInfo(id="host-amd-epyc-1", kind="host", cpu="AMD EPYC", processor=EPYC)


@pytest.mark.parametrize(
    ("change", "agrees", "doubt"),
    [
        ({"id": "host-of-an-older-kit"}, True, ""),
        ({"id": "host-amd-epyc", "processor": None}, True, "many machines are named AMD EPYC"),
        ({"processor": CpuIdentity(family=26, model=2)}, False, ""),
        ({"kind": "android"}, False, ""),
    ],
)
def test_a_prediction_agrees_with_a_run_unless_it_is_of_another_machine(
    measured: Table, change: dict[str, object], agrees: bool, doubt: str
) -> None:
    table = as_if_measured(measured, clock_khz=None)
    device = MACHINE.model_copy(update=change)
    table = replace(table, manifest=table.manifest.model_copy(update={"device": device}))
    label = setting_label(MACHINE.id, "fp32", "simulated", 1)
    times = timing(100.0, None)
    comparison = compare(
        NETWORKS, [table], [Run(label=label, simulated=False, timing=times, device=MACHINE)]
    )
    assert len(comparison.agreements) == (len(NETWORKS) if agrees else 0)
    assert doubt in comparison.columns[0].detail
    assert ("processor" in comparison.columns[0].detail) == bool(doubt)


def test_an_unstable_cell_is_marked_and_spoils_the_comparison(measured: Table) -> None:
    shaky = Run(label="phone", simulated=False, timing=timing(100.0, None))
    comparison = compare(NETWORKS, [], [shaky])
    assert not comparison.stable
    assert [cell.note for cell in comparison.cells] == ["", "unstable after 9 blocks"]
    assert compare(NETWORKS, [measured]).stable


def test_a_network_that_a_device_cannot_run_is_a_cell_with_a_reason(
    measured: Table, own_cache: Path
) -> None:
    refused = NETWORKS[1].architecture.operators[1].key
    comparison = compare(NETWORKS, [], [run(NETWORKS, truth=Truth(refuse=refused))])
    assert comparison.cells[0].latency_us is not None
    assert comparison.cells[1].latency_us is None
    assert "refused (simulated)" in comparison.cells[1].note
    assert not comparison.verdicts


# --- tables that do not fit


def test_another_resolution_is_a_cell_with_a_reason_and_the_others_are_filled(
    measured: Table,
) -> None:
    comparison = compare((*NETWORKS, find_network("FBNet-B")), [measured])
    assert [cell.latency_us is None for cell in comparison.cells[:3]] == [False, False, True]
    assert "224 pixels" in comparison.cells[2].note
    assert comparison.verdicts[0].winner == "small"


def test_if_no_cell_can_be_filled_the_reason_is_an_error(measured: Table) -> None:
    with pytest.raises(UsageError, match=r"Nothing can be compared: .*224 pixels"):
        compare([find_network("FBNet-B")], [measured])


def test_a_missing_operator_is_an_error_that_names_the_command(measured: Table) -> None:
    partial = without(measured, NETWORKS[1].architecture.operators[2].key)
    with pytest.raises(MissingOperator, match="has no row") as raised:
        compare(NETWORKS, [partial])
    assert "python -m profiler --device simulated --space fbnet-mini" in raised.value.remedy


def test_all_missing_operators_of_a_network_are_counted(measured: Table) -> None:
    empty = replace(measured, entries=measured.entries[:1])
    places = {o.key for o in NETWORKS[1].architecture.operators[1:]}
    with pytest.raises(MissingOperator, match=f" {len(places) - 1} more operator"):
        predict_network(empty, NETWORKS[1])


def test_the_number_format_is_that_of_the_table(measured: Table) -> None:
    int8 = tuple(network.with_dtype("int8") for network in NETWORKS)
    assert compare(int8, [measured]).cells == compare(NETWORKS, [measured]).cells


# --- published networks


def test_published_networks_are_priced_as_published_beside_their_printed_figures(
    full: Table,
) -> None:
    networks = find_networks(["fbnet-s8", "FBNET-IPHONEX"])
    comparison = compare(networks, [full])
    assert [network.name for network in networks] == ["FBNet-S8", "FBNet-iPhoneX"]
    assert kinds(comparison) == ["simulated", "published", "published"]
    assert not any(cell.note for cell in comparison.cells)
    printed = {(c.network, c.column): c.latency_us for c in comparison.cells if c.column}
    assert printed == {
        ("FBNet-S8", 1): 22_120,
        ("FBNet-iPhoneX", 1): 23_330,
        ("FBNet-S8", 2): 27_530,
        ("FBNet-iPhoneX", 2): 19_840,
    }
    verdicts = comparison.verdicts[1:]
    assert [verdict.winner for verdict in verdicts] == ["FBNet-S8", "FBNet-iPhoneX"]
    assert [verdict.clear for verdict in verdicts] == [None, None]
    assert [round(v.others[0].ratio, 3) for v in verdicts] == [1.055, 1.388]


def test_without_the_published_operators_the_other_convention_is_taken_and_said(
    full: Table,
) -> None:
    table = without(full, "ir_k3_e1_m16_g1_relu_i16_o16_h112_w112_s1_r1_p1")
    found = predict_network(table, find_network("FBNet-S8"))
    assert "dropped, unlike as published" in found.note
    assert (
        found.estimate.value_us < predict_network(full, find_network("FBNet-S8")).estimate.value_us
    )
    cells = compare(find_networks(["FBNet-S8", "FBNet-B-mobile-cv"]), [table]).cells
    assert [bool(cell.note) for cell in cells if cell.column == 0] == [True, False]


def test_without_either_convention_the_published_one_is_missed(full: Table) -> None:
    table = without(full, "_i16_o16_h112_w112_s1_r1_")
    with pytest.raises(MissingOperator, match="_s1_r1_p1_b1_fp32"):
        predict_network(table, find_network("FBNet-S8"))


def test_a_network_that_the_tables_space_does_not_hold_is_to_be_measured_itself(
    full: Table,
) -> None:
    with pytest.raises(MissingOperator, match="more operator") as caught:
        predict_network(full, find_network("FBNetV2-F4"))
    assert "measure the network itself: --device" in caught.value.remedy
    with pytest.raises(MissingOperator) as caught:
        predict_network(without(full, "_i16_o16_h112_w112_s1_r1_"), find_network("FBNet-S8"))
    assert "python -m profiler" in caught.value.remedy
