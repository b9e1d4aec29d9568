"""Random networks of a band: inside it, uniform, and never for ever."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.selection.sampling import FeasibleSampler
from tests.benchmarks.bench_exact import random_selection

INF = math.inf


def _band(costs: CostMatrix, low_us: float, target_us: float) -> set[tuple[int, ...]]:
    legal = [np.flatnonzero(np.isfinite(row)).tolist() for row in costs.costs]
    networks = list(itertools.product(*legal))
    prices = costs.cost_of(networks)
    return {
        network
        for network, price in zip(networks, prices, strict=True)
        if low_us <= price <= target_us
    }


def _tuples(choices: npt.NDArray[np.intp]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in choices.tolist()]


def _unlisted(
    monkeypatch: pytest.MonkeyPatch, costs: CostMatrix, target_us: float, low_us: float
) -> FeasibleSampler:
    """A sampler that draws even where the band is small enough to be listed."""
    monkeypatch.setattr("search.selection.sampling.LISTED", -1)
    sampler = FeasibleSampler(costs, target_us, low_us)
    assert sampler.listed is None
    return sampler


@given(
    cells=st.lists(
        st.lists(st.one_of(st.integers(0, 6).map(float), st.just(INF)), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    ),
    fixed=st.integers(-4, 4),
    low=st.integers(-5, 20),
    width=st.integers(0, 8),
)
@settings(max_examples=150, deadline=None)
def test_exactly_the_networks_of_the_band_are_listed(
    cells: list[list[float]], fixed: int, low: int, width: int
) -> None:
    assume(all(np.isfinite(row).any() for row in cells))
    costs = CostMatrix(costs=np.array(cells), fixed=float(fixed))
    wanted = _band(costs, low, low + width)
    if not wanted:
        with pytest.raises(UsageError):
            FeasibleSampler(costs, low + width, low)
        return
    sampler = FeasibleSampler(costs, low + width, low)
    assert sampler.listed is not None
    assert sorted(_tuples(sampler.listed)) == sorted(wanted)
    assert sampler.networks == len(wanted)
    assert set(_tuples(sampler.draw(20, np.random.default_rng(0)))) <= wanted


@pytest.mark.parametrize("listed", [True, False])
def test_every_network_of_the_band_is_drawn_equally_often(
    monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    costs = CostMatrix(
        costs=np.array([[0.0, 1.3, 2.9, 8.0], [0.5, 0.7, 5.0, INF], [0.0, 2.0, 2.0, 4.1]]),
        fixed=3.0,
    )
    low_us, target_us = 6.1, 11.05
    wanted = sorted(_band(costs, low_us, target_us))
    # Far from all of the space, far from one network only.
    assert 10 < len(wanted) < 40
    if listed:
        sampler = FeasibleSampler(costs, target_us, low_us)
        assert sampler.listed is not None
    else:
        sampler = _unlisted(monkeypatch, costs, target_us, low_us)
    drawn = _tuples(sampler.draw(20_000, np.random.default_rng(5)))
    assert len(drawn) == 20_000
    assert set(drawn) == set(wanted)
    assert chisquare([drawn.count(network) for network in wanted]).pvalue > 1e-3


@pytest.mark.parametrize("listed", [True, False])
def test_with_weights_a_network_is_drawn_as_often_as_its_weights_say(
    monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    costs = CostMatrix(
        costs=np.array([[0.0, 1.3, 2.9, 8.0], [0.5, 0.7, 5.0, INF], [0.0, 2.0, 2.0, 4.1]]),
        fixed=3.0,
    )
    # Tiny ones: products of many layers must not vanish.
    weights = np.array([[0.1, 0.5, 0.2, 0.2], [0.3, 0.3, 0.4, 0.1], [0.4, 0.1, 0.3, 0.2]]) * 1e-150
    wanted = sorted(_band(costs, 6.1, 11.05))
    shares = np.array([np.prod(weights[range(3), network] * 1e150) for network in wanted])
    if not listed:
        monkeypatch.setattr("search.selection.sampling.LISTED", -1)
    sampler = FeasibleSampler(costs, 11.05, 6.1, weights)
    drawn = _tuples(sampler.draw(20_000, np.random.default_rng(5)))
    counts = [drawn.count(network) for network in wanted]
    assert sum(counts) == 20_000
    assert chisquare(counts, 20_000 * shares / shares.sum()).pvalue > 1e-3
    assert sampler.networks == FeasibleSampler(costs, 11.05, 6.1).networks


@pytest.mark.parametrize("weights", [np.ones((2, 2)), np.zeros((1, 2)), np.full((1, 2), INF)])
def test_weights_that_are_none_are_refused(weights: npt.NDArray[np.float64]) -> None:
    costs = CostMatrix(costs=np.array([[0.0, 1.0]]), fixed=0.0)
    with pytest.raises(UsageError, match="Weights"):
        FeasibleSampler(costs, 2.0, None, weights)


def test_a_wrong_sampler_would_not_pass_for_uniform() -> None:
    # Layer by layer with rejection is uniform; layer by layer among what
    # still fits, without counting, is not: the chi-square test must see that.
    generator = np.random.default_rng(5)
    drawn = []
    for _ in range(20_000):
        first = int(generator.integers(0, 2))
        drawn.append((first, int(generator.integers(0, 1 if first else 3))))
    counts = [drawn.count(network) for network in ((0, 0), (0, 1), (0, 2), (1, 0))]
    assert chisquare(counts).pvalue < 1e-6


@pytest.mark.parametrize("share", [1.0, 1.02, 1.5, 3.0, 1e6])
def test_networks_of_22_layers_stay_under_any_target(share: float) -> None:
    _, costs, _ = random_selection(0, None)
    fastest = costs.costs.argmin(axis=1)
    target_us = share * float(costs.cost_of([fastest])[0])
    drawn = FeasibleSampler(costs, target_us).draw(500, np.random.default_rng(0))
    assert drawn.shape == (500, 22)
    assert (costs.cost_of(drawn) <= target_us).all()
    assert (len(np.unique(drawn, axis=0)) == 1) == (share == 1.0)


@pytest.mark.parametrize("width_us", [300.0, 20.0, 0.5, 0.01])
def test_networks_of_22_layers_stay_in_a_narrow_band(width_us: float) -> None:
    _, costs, target_us = random_selection(1, None)
    sampler = FeasibleSampler(costs, target_us, target_us - width_us)
    drawn = sampler.draw(300, np.random.default_rng(0))
    prices = costs.cost_of(drawn)
    assert ((target_us - width_us <= prices) & (prices <= target_us)).all()
    assert len(np.unique(drawn, axis=0)) > 250


def test_a_tight_target_is_sampled_like_the_space_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawn, not listed, and compared with the list of all networks.
    generator = np.random.default_rng(3)
    costs = CostMatrix(costs=generator.uniform(0, 100, (6, 5)), fixed=10.0)
    target_us = costs.cheapest() + 60
    wanted = np.array(sorted(_band(costs, 0, target_us)))
    assert len(wanted) < 0.05 * 5**6
    drawn = _unlisted(monkeypatch, costs, target_us, 0.0).draw(20_000, np.random.default_rng(1))
    for layer in range(6):
        counts = np.bincount(drawn[:, layer], minlength=5)
        shares = np.bincount(wanted[:, layer], minlength=5) / len(wanted)
        assert (counts[shares == 0] == 0).all()
        legal = shares > 0
        assert chisquare(counts[legal], 20_000 * shares[legal]).pvalue > 1e-3


def test_the_same_seed_draws_the_same_networks() -> None:
    _, costs, target_us = random_selection(2, None)
    sampler = FeasibleSampler(costs, target_us)
    one, two, other = (sampler.draw(50, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert (one == two).all()
    assert (one != other).any()


def test_no_network_at_all_is_drawn_when_none_is_asked_for() -> None:
    _, costs, target_us = random_selection(2, None)
    assert FeasibleSampler(costs, target_us).draw(0, np.random.default_rng(0)).shape == (0, 22)


# --- bad input -----------------------------------------------------------------


def test_a_target_below_the_fastest_network_is_told() -> None:
    _, costs, _ = random_selection(2, None)
    with pytest.raises(UsageError, match="fastest possible"):
        FeasibleSampler(costs, costs.cheapest() - 1)


def test_a_band_without_any_network_is_refused_at_once() -> None:
    costs = CostMatrix(costs=np.array([[0.0, 10.0], [0.0, 10.0]]), fixed=0.0)
    for low_us, target_us in ((11.0, 19.0), (21.0, 30.0)):
        with pytest.raises(UsageError, match="No network lies between"):
            FeasibleSampler(costs, target_us, low_us)


def test_a_band_of_very_many_networks_but_hardly_any_inside_is_given_up() -> None:
    _, costs, target_us = random_selection(1, None)
    sampler = FeasibleSampler(costs, target_us, target_us - 1e-9)
    assert sampler.listed is None
    with pytest.raises(UsageError, match="Widen the band"):
        sampler.draw(10, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("target_us", "low_us"), [(math.nan, None), (INF, None), (1e4, math.nan), (1e4, 2e4)]
)
def test_a_band_that_is_none_is_refused(target_us: float, low_us: float | None) -> None:
    _, costs, _ = random_selection(2, None)
    with pytest.raises(UsageError, match=r"not a number|is empty"):
        FeasibleSampler(costs, target_us, low_us)
