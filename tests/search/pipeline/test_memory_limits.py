"""Limits on the peak memory of networks, `--most memory-mb=20`, against all networks."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from search.algorithms.expected_cost import expected_cost_of
from search.algorithms.single_path.indicators import gates_of_candidate, runtime_model_of
from search.costs.base import Array, CostTarget, Unit
from search.costs.joint import JointCosts, Limit, labels_of, shares_of
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.latency.peak_memory import memory_costs
from search.latency.priced_table import PricedTable
from search.latency.space_costs import counted_costs, recounted
from search.pipeline.candidates import Candidate, candidate_row
from search.pipeline.limits.most import weighed, with_limits
from search.pipeline.problem import SearchProblem, Waivers
from search.selection.by_costs import sample_between, select_many_within
from search.selection.joint import require_limits
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.memory import MemoryPiece
from search.table.store import Table
from tests.search.conftest import MakeTable
from tests.search.memory_models import memory_model

# Loading decides for networks of many weights, running for those of large activations.
MODEL = memory_model(
    MemoryPiece(intercept_bytes=1e5, weights=2.0),
    MemoryPiece(intercept_bytes=2e4, weights=1.0, chained=0.5, live=0.4),
)
SPACE = make_space("nas-bench-macro")


def _limits(space: LayeredSpace, most: float) -> tuple[Limit, ...]:
    label = f"memory-mb={most / 1e6:g}"
    costs = memory_costs(MODEL, space)
    return tuple(Limit(label=label, costs=one, most=most) for one in costs)


def _flops(space: LayeredSpace, most: float) -> Limit:
    return Limit(label="mflops", costs=counted_costs(space, "flops"), most=most)


def _every(space: LayeredSpace) -> Array:
    return np.array(list(np.ndindex(*(len(layer.choices) for layer in space.layers))))


def _peaks(space: LayeredSpace, choices: npt.ArrayLike) -> Array:
    peaks: Array = np.max([one.cost_of(choices) for one in memory_costs(MODEL, space)], axis=0)
    return peaks


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_selection_under_flops_and_peak_memory_is_the_best_of_all_networks(share: float) -> None:
    every = _every(SPACE)
    flops, peaks = counted_costs(SPACE, "flops").cost_of(every), _peaks(SPACE, every)
    first = _flops(SPACE, float(np.quantile(flops, 0.6)))
    limits = (first, *_limits(SPACE, float(np.quantile(peaks, share))))
    scores = np.random.default_rng(1).normal(size=(len(SPACE.layers), 3))
    sums = scores[np.arange(len(SPACE.layers)), every].sum(1)
    inside = (flops <= first.most) & (peaks <= limits[1].most)
    found = select_many_within(JointCosts(limits=limits), scores, [first.most])[0]
    assert found.optimal
    assert found.score == pytest.approx(sums[inside].max())
    assert _peaks(SPACE, [found.choices])[0] <= limits[1].most


def test_the_lowest_peak_is_said_where_no_network_keeps_to_the_limit() -> None:
    lowest = _peaks(SPACE, _every(SPACE)).min()
    with pytest.raises(UsageError, match="No network keeps to memory-mb") as refused:
        require_limits((_flops(SPACE, 1e12), *_limits(SPACE, 0.9 * lowest)))
    said = float(refused.value.message.rpartition("memory-mb=")[2].rstrip("."))
    assert said == pytest.approx(lowest / 1e6, rel=2e-3)
    require_limits((_flops(SPACE, 1e12), *_limits(SPACE, said * 1e6)))


def test_the_lowest_peak_within_the_other_limits_is_said() -> None:
    every = _every(SPACE)
    drawn = np.random.default_rng(4).random((len(SPACE.layers), 3))
    other = Limit(label="luck", costs=CostMatrix(costs=drawn, fixed=0.5), most=0.0)
    lucky, peaks = other.costs.cost_of(every), _peaks(SPACE, every)
    other = replace(other, most=float(np.quantile(lucky, 0.01)))
    lowest = peaks[lucky <= other.most].min()
    assert lowest > 1.01 * peaks.min()
    middle = float((lowest + peaks.min()) / 2)
    with pytest.raises(UsageError, match="within luck the lowest is memory-mb") as refused:
        require_limits((other, *_limits(SPACE, middle)))
    said = refused.value.message.rpartition("within luck the lowest is memory-mb=")[2]
    assert float(said.split(";")[0].rstrip(".")) == pytest.approx(lowest / 1e6, rel=1e-3)


@pytest.mark.parametrize("name", ["fbnet-mini", "fbnetv2-mini", "fp-nas-mini"])
def test_spaces_of_every_kind_keep_to_flops_and_peak_memory(name: str) -> None:
    space, draw = make_space(name), np.random.default_rng(2)
    widths = [len(layer.choices) for layer in space.layers]
    some = np.array([[draw.integers(width) for width in widths] for _ in range(200)])
    flops, peaks = counted_costs(space, "flops").cost_of(some), _peaks(space, some)
    first = _flops(space, float(np.quantile(flops, 0.6)))
    costs = JointCosts(limits=(first, *_limits(space, float(np.quantile(peaks, 0.3)))))
    scores = np.where(costs.legal, draw.normal(size=costs.legal.shape), -np.inf)
    found = select_many_within(costs, scores, [first.most])[0]
    assert _peaks(space, [found.choices])[0] <= costs.limits[1].most
    sums = scores[np.arange(len(widths)), some].sum(1)
    assert found.score >= sums[costs.cost_of(some) <= first.most].max()
    weights = np.where(costs.legal, 1.0, 0.0)
    drawn = sample_between(costs, weights, (0.0, first.most), 20, draw)
    assert (_peaks(space, drawn) <= costs.limits[1].most).all()


def test_the_expected_peak_of_a_certain_network_is_its_peak() -> None:
    space = make_space("fbnet-mini")
    running = memory_costs(MODEL, space)[1]
    choices = [len(layer.choices) - 1 for layer in space.layers]
    weights = torch.zeros(running.legal.shape)
    weights[torch.arange(len(choices)), torch.tensor(choices)] = 1.0
    assert float(expected_cost_of(running)(weights)) == pytest.approx(running.cost_of([choices])[0])


def test_single_path_weighs_the_peak_of_its_indicators() -> None:
    space = make_space("single-path-mini")
    limits = (_flops(space, 1e9), *_limits(space, 1e6))
    model = runtime_model_of(space, JointCosts(limits=limits), "exact")
    draw = np.random.default_rng(0)
    for _ in range(5):
        choices = [int(draw.integers(len(layer.choices))) for layer in space.layers]
        codes = [
            gates_of_candidate(layer)[c] for layer, c in zip(space.layers, choices, strict=True)
        ]
        expected = JointCosts(limits=limits).shares([choices])[0].max()
        raw = max(one.costs.cost_of([choices])[0] / one.most for one in limits)
        found = float(model(torch.tensor(codes, dtype=torch.float64))) / limits[0].most
        assert found == pytest.approx(raw)
        assert (found <= 1) == (expected <= 1)


# --- of a table -----------------------------------------------------------------


@pytest.fixture(scope="module")
def told(make_table: MakeTable) -> Table:
    """A table that tells peak memory."""
    table = make_table()
    return replace(table, manifest=table.manifest.model_copy(update={"memory": MODEL}))


def _problem(table: Table) -> SearchProblem:
    priced = PricedTable(table)
    middle = (priced.costs.cheapest() + priced.costs.dearest()) / 2
    return SearchProblem(
        priced=priced,
        costs=priced.costs,
        target=CostTarget(value=middle, unit=Unit.US),
        waivers=Waivers(simulated=True, unexamined=True),
    )


def test_a_limit_on_peak_memory_is_one_word_in_results_and_states_the_prediction(
    told: Table,
) -> None:
    problem = with_limits(_problem(told), ["memory-mb=0.9"])
    assert labels_of(problem.limits) == ("memory-mb=0.9",)
    target = problem.target
    assert target is not None
    scores = np.where(problem.costs.legal, 1.0, -np.inf)
    choices = select_many_within(weighed(problem), scores, [target.value])[0].choices
    row = candidate_row(Candidate(origin="x", choices=choices), problem)
    (limit,) = row.limits
    assert row.peak_memory_mb is not None
    assert limit.share == pytest.approx(row.peak_memory_mb / 0.9)
    assert limit.share <= 1
    assert row.peak_memory_low_mb is not None
    assert row.peak_memory_low_mb < row.peak_memory_mb
    assert shares_of(problem.limits, choices) == {"memory-mb=0.9": limit.share}


def test_a_limit_on_peak_memory_is_counted_again_for_another_classifier(told: Table) -> None:
    problem = with_limits(_problem(told), ["memory-mb=0.9"])
    wider = make_space("fbnet-mini", classes=100)
    for before in problem.limits:
        after = recounted(before, wider)
        assert after.costs.cheapest() > before.costs.cheapest()
        assert after.costs.unit is Unit.MEMORY


def test_a_table_that_does_not_tell_memory_refuses_a_limit_on_it(make_table: MakeTable) -> None:
    with pytest.raises(UsageError, match="does not tell the peak memory"):
        with_limits(_problem(make_table()), ["memory-mb=0.9"])


def test_candidates_of_a_table_that_does_not_tell_memory_state_none(make_table: MakeTable) -> None:
    problem = _problem(make_table())
    row = candidate_row(Candidate(origin="x", choices=(0,) * len(problem.space.layers)), problem)
    assert row.peak_memory_mb is None
