"""Operators inside networks: planted shares are found, and nothing is made of noise."""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from profiler.analysis.exam import MIN_NETWORKS, MeasuredNetwork, NetworkModel, examine, fit_model
from profiler.analysis.in_network import fit_in_network
from search.errors import TableError
from search.latency.model import feature_vector
from search.latency.pairs import expansion_of
from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space
from search.table.entries import Entry, Interval, OperatorCounts

SPACE = make_space("fbnet", always_pointwise=False)
INTERCEPT_US = 120.0


def rows() -> dict[str, Entry]:
    """All operators of the space, with plausible times."""
    draw, found = np.random.default_rng(0), {}
    for operator in SPACE.operators:
        us = float(draw.uniform(60, 600))
        counts = OperatorCounts.of(operator)
        first = Interval(centre_us=us * float(draw.uniform(1.02, 1.3)))
        time = Interval(centre_us=us, low_us=us * 0.99, high_us=us * 1.01)
        found[operator.key] = Entry(
            key=operator.key, status="ok", time=time, first_call=first, counts=counts
        )
    return found


ROWS = rows()


def shares(spread: float) -> dict[str, float]:
    """What operators cost inside networks more than alone: by image size, and their own."""
    draw = np.random.default_rng(1)
    by_size = {size: draw.normal(0, spread) for size in (7, 14, 28, 56, 112, 224)}
    return {o.key: float(by_size[o.height] + draw.normal(0, spread / 2)) for o in SPACE.operators}


def networks(
    number: int,
    truth: dict[str, float],
    *,
    noise: float = 0.004,
    together_us: Callable[[OperatorSpec, OperatorSpec], float] = lambda *_: 0.0,
) -> list[MeasuredNetwork]:
    generator, draw, found = random.Random(2), np.random.default_rng(3), []
    for place in range(number):
        operators = SPACE.random_architecture(generator, f"n{place}").operators
        chosen = tuple(ROWS[o.key] for o in operators if o.kind != "skip")
        us = INTERCEPT_US + sum(row.known_time.centre_us * (1 + truth[row.key]) for row in chosen)
        us += sum(itertools.starmap(together_us, itertools.pairwise(operators)))
        measured = us * float(np.exp(draw.normal(0, noise)))
        found.append(
            MeasuredNetwork(
                name=f"n{place}", entries=chosen, measured_us=measured, layers=operators
            )
        )
    return found


def held_out_error(model: NetworkModel, found: Sequence[MeasuredNetwork]) -> float:
    priced = [replace(n, entries=tuple(map(model.price, n.entries))) for n in found]
    exam, _ = examine(priced, model.calibration, bar_mape=0.04, bar_spearman=0.9, seed=0)
    return exam.mape.value


def test_planted_shares_are_found_and_foretell_other_networks() -> None:
    truth = shares(0.06)
    every = networks(160, truth)
    model = fit_model(every[:60], 0)
    assert model is not None
    assert model.in_network is not None
    assert model.calibration.features == ("in_network_us",)
    assert held_out_error(model, every[60:]) < 0.008
    plain = replace(model, in_network=None)
    assert plain.price(every[0].entries[0]) == every[0].entries[0]
    found = [model.in_network.cost_us(ROWS[key]) / ROWS[key].known_time.centre_us for key in truth]
    assert np.corrcoef(found, list(truth.values()))[0, 1] > 0.6


def test_the_error_of_networks_left_out_tells_that_of_others() -> None:
    every = networks(160, shares(0.06))
    model = fit_model(every[:60], 0)
    assert model is not None
    found = held_out_error(model, every[60:])
    assert model.calibration.cross_validated_mape == pytest.approx(found, rel=0.4)


def test_without_noise_and_effects_networks_are_foretold_exactly() -> None:
    every = networks(40, dict.fromkeys(ROWS, 0.0), noise=0.0)
    fitted = fit_in_network([n.entries for n in every], [n.measured_us for n in every])
    assert np.abs(fitted.errors).max() < 1e-3


def test_networks_by_a_plain_law_keep_the_plain_model() -> None:
    model = fit_model(networks(60, dict.fromkeys(ROWS, 0.0)), 0)
    assert model is not None
    assert model.in_network is None
    assert "in_network_us" not in model.calibration.features


def test_the_order_of_networks_does_not_matter() -> None:
    every = networks(30, shares(0.05))
    one, other = (
        fit_in_network([n.entries for n in some], [n.measured_us for n in some])
        for some in (every, every[::-1])
    )
    key = next(iter(ROWS))
    assert one.cost_us(ROWS[key]) == pytest.approx(other.cost_us(ROWS[key]))
    np.testing.assert_allclose(one.errors, other.errors[::-1], atol=1e-9)


def test_an_operator_that_no_network_holds_is_priced_by_its_groups() -> None:
    every = networks(60, shares(0.06))
    absent = every[0].entries[5].key
    without = [n for n in every if absent not in {row.key for row in n.entries}]
    fitted = fit_in_network([n.entries for n in without], [n.measured_us for n in without])
    cost_us = fitted.cost_us(ROWS[absent])
    assert cost_us == pytest.approx(ROWS[absent].known_time.centre_us, rel=0.25)


def test_too_few_networks_make_no_model() -> None:
    assert fit_model(networks(MIN_NETWORKS - 1, shares(0.05)), 0) is None


def test_a_row_without_its_time_inside_networks_is_refused_where_the_model_needs_it() -> None:
    with pytest.raises(TableError, match="states no time inside networks"):
        feature_vector(next(iter(ROWS.values())), ("in_network_us",))


def test_a_failed_row_has_no_price() -> None:
    model = fit_model(networks(60, shares(0.06)), 0)
    assert model is not None
    failed = Entry(key=next(iter(ROWS)), status="failed", reason="crash")
    assert model.price(failed) == failed


def _shared_by_the_largest(first: OperatorSpec, second: OperatorSpec) -> float:
    """Two expanded neighbours at 112 x 112 share memory, the more the more they expand."""
    if second.height != 112:
        return 0.0
    return -80.0 * min(expansion_of(first) or 0, expansion_of(second) or 0)


def test_neighbours_that_share_memory_are_found_at_their_size_and_foretell_other_networks() -> None:
    every = networks(160, shares(0.03), together_us=_shared_by_the_largest)
    model = fit_model(every[:60], 0)
    assert model is not None
    pairs = {pair.key: pair.effect_us for pair in model.calibration.pairs}
    assert {height for height, _, _ in pairs} == {112}
    # What only one of both neighbours decides is the operator's own: the interaction is left.
    interaction = pairs[112, 6, 6] - pairs[112, 6, 1] - pairs[112, 1, 6] + pairs[112, 1, 1]
    assert interaction == pytest.approx(-80.0 * (6 - 1 - 1 + 1), rel=0.35)
    with_pairs = held_out_error(model, every[60:])
    unaware = [replace(network, layers=()) for network in every]
    plain = fit_model(unaware[:60], 0)
    assert plain is not None
    assert plain.calibration.pairs == ()
    assert with_pairs < 0.75 * held_out_error(plain, unaware[60:])


def test_neighbours_have_no_effect_where_networks_are_sums() -> None:
    for noise in (0.0, 0.004, 0.02):
        model = fit_model(networks(60, shares(0.06), noise=noise), 0)
        assert model is not None
        assert model.calibration.pairs == ()
