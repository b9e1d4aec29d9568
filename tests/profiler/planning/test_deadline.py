"""A budget in time: what is built first, what is left out, and that repeats end in time."""

import math
import random
import time
from dataclasses import replace

import pytest

import profiler.measuring.artefacts
from profiler.planning.deadline import always_built, build_deadline, building_order, drop_unbuilt
from profiler.planning.plan import make_plan
from profiler.prediction.design import design_of, importance
from search.console.progress import Silent
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.table.store import read_table
from tests.profiler.conftest import Bench

MINI = make_space("fbnetv2-mini")
FBNET = make_space("fbnet")


@pytest.fixture
def plan(bench: Bench):
    return make_plan(bench.settings(space=MINI.spec, max_operators=60, budget_s=600.0))


def test_networks_are_built_before_most_operators_and_nothing_is_forgotten(plan) -> None:
    order = building_order(plan)
    assert set(order) == set(plan.exports)
    assert len(order) == len(set(order))
    last_network = max(order.index(network) for network in (*plan.calibration, *plan.exam))
    assert last_network < len(order) - 30
    assert always_built(plan) < {subject.name for subject in plan.exports}


def test_building_ends_before_the_passes_would_not_fit_any_more(plan) -> None:
    assert 0 < build_deadline(plan, 0.0) < 600
    without = replace(plan, settings=replace(plan.settings, budget_s=None))
    assert build_deadline(without, 0.0) == math.inf


def test_operators_without_an_artefact_in_time_are_predicted(plan) -> None:
    built = dict.fromkeys((s.name for s in building_order(plan)[:-10]), None)
    kept = drop_unbuilt(plan, built, (), Silent())
    assert len(kept.operators) == 50
    assert set(kept.operators) | set(kept.predicted) == set(plan.operators) | set(plan.predicted)
    assert kept.drawn <= set(kept.operators)


def test_a_campaign_whose_time_is_up_still_writes_a_whole_table(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler.measuring.artefacts, "build_deadline", lambda *_: -math.inf)
    settings = bench.settings(space=FBNET.spec, max_operators=60, budget_s=600.0)
    table = bench.measure(settings=settings)
    space = table.manifest.space
    assert 20 <= space.operators_measured < 60
    assert space.operators_missing == 0
    assert space.operators_measured + space.operators_predicted == 113
    assert table.path is not None
    assert read_table(table.path).manifest.prediction == table.manifest.prediction


def test_no_extra_pass_begins_that_would_end_after_the_budget(bench: Bench) -> None:
    effort = replace(bench.settings().effort, extra_passes=5, target_relative_ci=1e-9)
    for budget_s, passes in ((None, effort.passes + 5), (1e-6, effort.passes)):
        settings = bench.settings(effort=effort, max_operators=12, budget_s=budget_s)
        table = bench.measure(settings=settings)
        assert max(entry.sampling.passes for entry in table.entries) == passes


def test_budgets_in_time_resume_whatever_number_of_operators_is_left(bench: Bench) -> None:
    few, more = (bench.settings(max_operators=n, budget_s=60.0) for n in (10, 20))
    assert few.identity == more.identity
    assert few.identity != bench.settings(max_operators=10).identity


# --- the design ------------------------------------------------------------------------


@pytest.mark.parametrize("space", [MINI, FBNET, make_space("single-path-mini")])
def test_uses_are_those_of_random_networks(space: LayeredSpace) -> None:
    draw, seen = random.Random(0), dict.fromkeys(space.operators, 0)
    for number in range(600):
        for operator in space.random_architecture(draw, str(number)).operators:
            if operator.kind != "skip":
                seen[operator] += 1
    assert tuple(space.uses) == space.operators
    assert sum(space.uses.values()) == pytest.approx(sum(seen.values()) / 600, rel=0.02)
    often = [o for o in space.operators if space.uses[o] > 0.3]
    assert [seen[o] / 600 for o in often] == pytest.approx([space.uses[o] for o in often], abs=0.1)


def test_beyond_the_first_operators_chance_chooses_every_other_one() -> None:
    design = design_of(MINI, MINI.operators, 80)
    assert len(set(design.operators)) == 80
    assert len(design.drawn) == 25
    assert not design.drawn & set(design.operators[:30])
    smaller = design_of(MINI, MINI.operators, 50)
    assert design.operators[:50] == smaller.operators
    assert smaller.drawn < design.drawn


def test_a_space_of_thirty_thousand_operators_is_planned_in_seconds(bench: Bench) -> None:
    giant = make_space("fbnetv2-f")
    assert len(giant.operators) == 30_064
    began = time.process_time()
    plan = make_plan(bench.settings(space=giant.spec, max_operators=300))
    assert len(plan.operators) == 300
    assert len(plan.operators) + len(plan.predicted) == plan.wanted
    kinds = {operator.kind for operator in plan.operators[:50]}
    assert kinds == {"ir", "conv", "classifier"}
    assert importance(giant, giant.operators).min() > 0
    assert time.process_time() - began < 20
