"""What a campaign will measure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.planning.networks import draw_networks, published_operators
from profiler.planning.plan import filter_operators, make_plan
from search.errors import UsageError
from search.operators.counts import count
from search.spaces.registry import make_space
from search.zoo import zoo_architecture

SPACE = make_space("fbnet-mini")


def test_a_plan_holds_every_unique_operator_of_the_space(bench) -> None:
    assert make_plan(bench.settings()).operators == SPACE.operators


def test_the_published_space_comes_with_the_operators_of_published_networks(bench) -> None:
    plan = make_plan(bench.settings(space=make_space("fbnet").spec))
    extra = plan.operators[len(plan.space.operators) :]
    assert plan.operators[: len(plan.space.operators)] == plan.space.operators
    assert plan.wanted == len(plan.operators) == len(set(plan.operators)) == 113
    measured = {operator for operator in plan.operators if operator.kind != "skip"}
    for name in ("FBNet-A", "FBNet-B", "FBNet-C1", "FBNet-S8", "FBNet-C-mobile-cv"):
        needed = {o for o in zoo_architecture(name).operators if o.kind != "skip"}
        assert needed <= measured
    assert {operator.kind for operator in extra} == {"conv", "ir", "classifier"}


def test_a_space_of_another_frame_brings_no_published_operators() -> None:
    assert published_operators(make_space("fbnet", resolution=192)) == ()
    assert published_operators(make_space("fbnet", classes=10)) == ()
    assert published_operators(SPACE) == ()
    # The same stem as MnasNet's, and other blocks.
    assert published_operators(make_space("uib")) == ()


def test_the_sentinel_is_an_operator_of_the_plan_of_median_cost(bench) -> None:
    plan = make_plan(bench.settings())
    costs = {operator.key: count(operator).flops for operator in plan.operators}
    below = sum(cost < costs[plan.sentinel] for cost in costs.values())
    above = sum(cost > costs[plan.sentinel] for cost in costs.values())
    assert max(below, above) <= len(costs) / 2


def test_the_sentinel_of_a_filtered_plan_passes_the_filter(bench) -> None:
    for pattern in ("^conv", "_k5_", "^classifier"):
        plan = make_plan(bench.settings(filter=pattern))
        assert plan.sentinel in [operator.key for operator in plan.operators]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), number=st.integers(0, 60))
def test_networks_are_distinct_and_of_the_space(seed: int, number: int) -> None:
    networks = draw_networks(SPACE, number, seed)
    assert len(networks) == number
    assert len({network.operators for network in networks}) == number
    assert len({network.name for network in networks}) == number
    legal = [{choice.operator for choice in layer.choices} for layer in SPACE.layers]
    for network in networks:
        inner = network.operators[1:-2]
        assert all(operator in layer for operator, layer in zip(inner, legal, strict=True))


def test_more_networks_than_the_space_has_are_all_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = make_space("fbnet-mini")
    two = tuple(
        type(layer)(name=layer.name, choices=layer.choices[: 2 if place == 0 else 1])
        for place, layer in enumerate(tiny.layers)
    )
    object.__setattr__(tiny, "layers", two)
    assert len(draw_networks(tiny, 10, 0)) == 2


def test_calibration_and_exam_share_no_network(bench) -> None:
    for seed in range(20):
        plan = make_plan(bench.settings(seed=seed, calibration=40, exam=100))
        fitted = {subject.operators for subject in plan.calibration}
        examined = {subject.operators for subject in plan.exam}
        assert (len(fitted), len(examined)) == (40, 100)
        assert not fitted & examined


def test_the_same_seed_draws_the_same_networks_and_another_seed_others() -> None:
    first = draw_networks(SPACE, 10, 1)
    assert draw_networks(SPACE, 10, 1) == first
    assert draw_networks(SPACE, 10, 2) != first


def test_subjects_are_the_empty_program_every_operator_and_every_network_once(bench) -> None:
    plan = make_plan(bench.settings())
    names = [subject.name for subject in plan.exports]
    assert names[0] == plan.empty.name
    assert len(set(names)) == len(names)
    assert len(names) == 1 + len(plan.operators) + len(plan.calibration) + len(plan.exam)


def test_a_filter_keeps_the_order_of_the_space_and_searches_within_keys() -> None:
    chosen = filter_operators(SPACE.operators, "k5|^conv")
    assert chosen == tuple(o for o in SPACE.operators if "k5" in o.key or o.kind == "conv")
    assert filter_operators(SPACE.operators, None) == SPACE.operators


def test_a_filter_that_matches_everything_is_no_partial_plan(bench) -> None:
    plan = make_plan(bench.settings(filter="."))
    assert plan.operators == SPACE.operators
    assert plan.exam


@pytest.mark.parametrize(("pattern", "word"), [("zebra", "matches none"), ("((", "not a regular")])
def test_a_useless_filter_is_refused(pattern: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        filter_operators(SPACE.operators, pattern)
