"""Slopes over chains: pure fits, then whole campaigns on a phone with a known truth."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deploy.chains.programs import keeps_shape
from device_agents.device import load_device
from device_agents.simulated.truth import Truth
from profiler.analysis.blocks import TimedBlock
from profiler.analysis.judge import Measurement
from profiler.analysis.slopes import ChainFit, cost, fit_chain
from search.latency.model import LatencyModel
from search.latency.trust import table_problems
from search.operators.spec import parse_key
from search.spaces.registry import make_space, parse_space
from search.table.entries import Entry
from search.table.store import Table, read_table

LENGTHS = (1, 4, 16)
PHONE = Truth.from_options(load_device("simulated-iphone").options)
# On a phone eight times slower the small space's operators take what FBNet's do.
SLOW = replace(PHONE, gmacs_per_s=50.0, gb_per_s=3.75)


def blocks(us: float, number: int, noise: float = 0.0, seed: int = 0) -> list[TimedBlock]:
    draw = np.random.default_rng(seed)
    return [
        TimedBlock(
            pass_number=i // 8,
            round=i % 8,
            loops=4,
            ns=round(4e3 * us * float(np.exp(draw.normal(0, noise)))),
            first_ns=None,
            switches=0,
            at_ns=i * 1000,
        )
        for i in range(number)
    ]


def chains(cost_us: float, dispatch_us: float = 150.0, noise: float = 0.0, **us: float) -> Any:
    return {
        n: blocks(us.get(f"at{n}", dispatch_us + n * cost_us), 32, noise, seed=n) for n in LENGTHS
    }


def fit(*args: Any, placements: Any = None, **words: Any) -> ChainFit:
    found = fit_chain(chains(*args, **words), placements=placements)
    assert found is not None
    return found


@pytest.mark.parametrize("cost_us", [0.8, 12.0, 400.0])
def test_slope_and_intercept_of_a_straight_line_come_back(cost_us: float) -> None:
    found = fit(cost_us)
    np.testing.assert_allclose(found.slopes_us, cost_us, rtol=1e-3)
    np.testing.assert_allclose(found.intercepts_us, 150, rtol=1e-3)
    assert found.reason is None
    assert found.passes == (0, 1, 2, 3)


def test_bursts_do_not_tilt_the_line() -> None:
    given = chains(20.0)
    for n in LENGTHS:
        given[n][3::8] = [replace(block, ns=block.ns * 5) for block in given[n][3::8]]
    found = fit_chain(given)
    assert found is not None
    np.testing.assert_allclose(found.slopes_us, 20, rtol=0.01)


def test_preempted_and_slow_blocks_are_left_out() -> None:
    given = chains(20.0)
    given[16][5] = replace(given[16][5], ns=10**9, switches=1)
    given[4] = [replace(b, ns=b.ns * 3) if b.at_ns < 4000 else b for b in given[4]]
    found = fit_chain(given, slow_windows=[(0, 3999)])
    assert found is not None
    assert found.rejected == 1 + 3 * 4
    np.testing.assert_allclose(found.slopes_us, 20, rtol=1e-3)


@pytest.mark.parametrize("bend", [0.9, 1.1, 1.7])
def test_a_bent_line_is_refused_with_the_length_that_lies_off(bend: float) -> None:
    found = fit(20.0, noise=0.01, at4=150 + 80 * bend if bend > 1.5 else 230 * bend)
    assert found.reason is not None
    assert "not linear, 4 copies lie" in found.reason


def test_noise_alone_bends_no_line() -> None:
    reasons = [fit(c, noise=0.03).reason for c in (0.5, 2.0, 10.0, 50.0, 200.0)]
    assert reasons == [None] * 5


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            {"1 copies": {"ne"}, "4 copies": {"ne"}, "16 copies": {"cpu"}},
            "changes with the number of copies (1 copies on ne, 4 copies on ne, 16 copies on cpu)",
        ),
        ({"4 copies": {"ne", "cpu"}, "16 copies": {"ne"}}, "4 copies ran on cpu and on ne"),
        ({"the operator alone": {"cpu"}, "16 copies": {"ne"}}, "the operator alone on cpu"),
    ],
)
def test_a_placement_that_moves_is_refused_even_on_a_straight_line(seen: Any, words: str) -> None:
    found = fit(20.0, placements={n: frozenset(units) for n, units in seen.items()})
    assert found.reason is not None
    assert words in found.reason


def test_what_restoring_took_is_taken_off_pass_by_pass() -> None:
    own = fit(30.0)
    values = dict(enumerate((3.0, 5.0, 3.0, 5.0)))
    shifted = replace(own, slopes_us=own.slopes_us + np.array(list(values.values())))
    found = cost(shifted, values, target=0.05, seed=0)
    assert isinstance(found, Measurement)
    assert found.centre_us == pytest.approx(30, rel=1e-3)
    assert found.relative_half_width < 1e-3


@pytest.mark.parametrize(
    ("restoring", "words"),
    [
        ({}, "restoring operator: nothing tells"),
        ({0: -5.0, 1: -5.1, 2: -4.9}, "restoring operator: its cost comes out as -5 us"),
        ({0: 31.0, 1: 31.1}, "drowns in noise"),
    ],
)
def test_without_a_sensible_restoring_cost_there_is_no_row(restoring: Any, words: str) -> None:
    assert words in str(cost(fit(30.0), restoring, target=0.05, seed=0))


def test_a_restoring_cost_of_nothing_but_noise_is_no_reason_to_refuse() -> None:
    found = cost(fit(30.0), {0: -0.2, 1: 0.1, 2: -0.1}, target=0.05, seed=0)
    assert isinstance(found, Measurement)


def test_the_slope_of_a_noisy_line_is_sharper_than_that_of_its_ends() -> None:
    """The middle lengths add what they know."""
    off: dict[str, list[float]] = {"all": [], "ends": []}
    for seed in range(40):
        given = {n: blocks(150 + 3 * n, 8, 0.01, seed=seed * 10 + n) for n in LENGTHS}
        for name, chosen in (("all", given), ("ends", {n: given[n] for n in (1, 4)})):
            found = fit_chain(chosen)
            assert found is not None
            off[name].append(abs(float(found.slopes_us.mean()) - 3))
    assert np.mean(off["all"]) < 0.07
    assert np.mean(off["all"]) < np.mean(off["ends"]) / 2


def test_an_operator_that_a_network_hardly_holds_needs_no_narrower_interval() -> None:
    """0.8 us behind a dispatch of 150: its own width is wide, its share of a network is not."""
    found = fit(0.8, noise=0.01)
    alone = cost(found, None, target=0.05, seed=0)
    inside = cost(found, None, target=0.05, seed=0, share_us=20.0)
    assert isinstance(alone, Measurement)
    assert isinstance(inside, Measurement)
    assert not alone.stable
    assert inside.stable
    assert inside.interval == alone.interval


def test_blocks_of_one_length_alone_make_no_fit() -> None:
    assert fit_chain({1: blocks(10, 8), 4: [], 16: []}) is None


# --- campaigns


def phone(bench: Any, truth: Truth = PHONE, space: str = "fbnet-mini", **changes: Any) -> Table:
    settings = bench.settings(
        space=make_space(space, dtype="fp16").spec,
        dtype="fp16",
        chains=LENGTHS,
        **changes,
    )
    return bench.measure(truth, settings)


def errors(table: Table, truth: Truth) -> dict[str, float]:
    return {
        entry.key: entry.known_time.centre_us / truth.operator_us(entry.operator) - 1
        for entry in table.entries
    }


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    from tests.profiler.conftest import Bench

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return phone(Bench(tmp_path_factory.mktemp("phone"), None), space="fbnet")


def test_costs_are_those_of_the_truth_though_dispatch_dwarfs_them(table: Table) -> None:
    assert {entry.status for entry in table.entries} == {"ok"}
    found = {key: abs(error) for key, error in errors(table, PHONE).items()}
    assert np.median(list(found.values())) <= 0.02
    for kept in (True, False):
        part = [error for key, error in found.items() if keeps_shape(parse_key(key)) == kept]
        assert len(part) > 40
        assert np.median(part) <= (0.006 if kept else 0.012)
        assert max(part) <= (0.03 if kept else 0.08)
    protocol = table.manifest.protocol
    assert protocol.chain_lengths == LENGTHS
    assert protocol.chain_intercept_us == pytest.approx(150, rel=0.02)
    assert protocol.dispatch_floor_us == pytest.approx(150, rel=0.02)


def test_whole_networks_meet_the_bar_of_the_exam(table: Table) -> None:
    exam = table.manifest.exam
    assert exam is not None
    assert exam.passed
    assert exam.mape.value <= 0.015


def test_placement_is_recorded_where_it_is_known(table: Table, bench: Any) -> None:
    keys = {entry.key for entry in table.entries}
    assert table.manifest.protocol.placements == dict.fromkeys(keys, "ne")
    silent = phone(bench, replace(SLOW, unit=None))
    assert silent.manifest.protocol.placements == {}


def test_a_table_whose_dispatch_floor_is_unknown_has_a_problem(table: Table) -> None:
    """Its slopes stand on the calls' own cost, and the empty program tells it."""
    protocol = table.manifest.protocol.model_copy(update={"dispatch_floor_us": None})
    manifest = table.manifest.model_copy(update={"protocol": protocol})
    problems = table_problems(replace(table, manifest=manifest))
    assert [problem for problem in problems if "dispatch floor is unknown" in problem]
    assert not [problem for problem in table_problems(table) if "dispatch floor" in problem]


def test_the_table_says_what_it_is_and_reads_back(table: Table) -> None:
    assert table.manifest.source == "simulated"
    assert "-chains-v1" in table.manifest.title
    assert table.path is not None
    again = read_table(table.path)
    assert again.manifest == table.manifest


def test_the_table_prices_networks_and_fills_a_cost_matrix(table: Table) -> None:
    matrix = LatencyModel(table).cost_matrix(parse_space(table.manifest.space.spec))
    assert np.isfinite(matrix.costs).any(axis=1).all()
    assert matrix.fixed > 100  # the dispatch of one call


def flipped(table: Table) -> list[Entry]:
    return [entry for entry in table.entries if entry.key.startswith("ir_")]


@pytest.mark.thorough
@pytest.mark.parametrize("factor", [1.1, 1.7])
@pytest.mark.parametrize("copies", [4, 16])
def test_every_flip_that_the_phone_tells_is_detected(
    bench: Any, copies: int, factor: float
) -> None:
    truth = replace(SLOW, flip_on="ir_", flip_copies=copies, flip_factor=factor)
    for entry in flipped(phone(bench, truth)):
        assert entry.status == "failed"
        assert "changes with the number of copies" in (entry.reason or "")


@pytest.mark.thorough
def test_every_flip_between_passes_is_detected(bench: Any) -> None:
    truth = replace(SLOW, flip_on="ir_", flip_copies=1, flip_factor=1.3, flip_every_s=0.7)
    for entry in flipped(phone(bench, truth, passes=6)):
        assert entry.status == "failed"
        assert "ran on ne and on not ne" in (entry.reason or "")


@pytest.mark.thorough
@pytest.mark.parametrize("copies", [4, 16])
def test_a_flip_of_longer_chains_shows_without_any_placement(bench: Any, copies: int) -> None:
    truth = replace(SLOW, unit=None, flip_on="ir_", flip_copies=copies, flip_factor=1.7)
    for entry in flipped(phone(bench, truth, passes=6)):
        assert entry.status == "failed"
        assert "not linear" in (entry.reason or "")


def test_other_operators_are_measured_all_the_same(bench: Any) -> None:
    found = phone(bench, replace(SLOW, flip_on="ir_k5"))
    reasons = {entry.key: entry.status for entry in found.entries}
    assert {status for key, status in reasons.items() if key.startswith("ir_k5")} == {"failed"}
    assert {status for key, status in reasons.items() if "ir_k5" not in key} == {"ok"}
