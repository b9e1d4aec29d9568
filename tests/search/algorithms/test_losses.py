"""Expected latency against enumeration; the losses and what they refuse."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.algorithms.expected_cost import ExpectedMatrixCosts
from search.algorithms.losses import (
    product_loss,
    require_costs,
    require_microseconds,
    require_reachable,
    target_loss,
)
from search.costs.base import CostTarget, Unit
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.spaces.registry import make_space


def random_costs(widths: list[int], seed: int) -> CostMatrix:
    generator = np.random.default_rng(seed)
    legal = np.arange(max(widths)) < np.array(widths)[:, None]
    costs = np.where(legal, generator.uniform(0, 3000, legal.shape), np.inf)
    return CostMatrix(costs=costs, fixed=float(generator.uniform(0, 5000)))


def random_weights(matrix: CostMatrix, seed: int, dtype: torch.dtype) -> torch.Tensor:
    noise = torch.randn(matrix.costs.shape, generator=torch.Generator().manual_seed(seed))
    illegal = torch.from_numpy(np.isinf(matrix.costs))
    return (2 * noise).to(dtype).masked_fill(illegal, -torch.inf).softmax(1)


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_expected_latency_is_the_mean_over_all_networks(
    widths: list[int], seed: int, dtype: torch.dtype
) -> None:
    matrix = random_costs(widths, seed)
    weights = random_weights(matrix, seed, dtype)
    networks = list(itertools.product(*(range(width) for width in widths)))
    assert len(networks) <= 10_000
    likelihood = [
        math.prod(float(weights[layer, index]) for layer, index in enumerate(network))
        for network in networks
    ]
    mean_us = float(np.dot(likelihood, matrix.cost_of(networks)))
    found = float(ExpectedMatrixCosts(matrix)(weights))
    assert found == pytest.approx(mean_us, rel=1e-6)


def test_illegal_candidates_bring_neither_infinity_nor_nan_into_value_and_gradient() -> None:
    matrix = random_costs([3, 1, 2], 0)
    weights = random_weights(matrix, 0, torch.float64).requires_grad_()
    latency_us = ExpectedMatrixCosts(matrix)(weights)
    latency_us.backward()
    assert torch.isfinite(latency_us)
    assert weights.grad is not None
    legal = np.isfinite(matrix.costs)
    np.testing.assert_array_equal(weights.grad.numpy(), np.where(legal, matrix.costs, 0))


def test_a_discrete_network_costs_what_the_matrix_says() -> None:
    matrix = random_costs([4, 2, 3], 3)
    weights = torch.zeros(3, 4)
    weights[[0, 1, 2], [3, 1, 0]] = 1
    expected = matrix.cost_of([[3, 1, 0]])[0]
    assert float(ExpectedMatrixCosts(matrix)(weights)) == pytest.approx(expected, rel=1e-12)


def test_the_product_loss_raises_the_logarithm_to_beta() -> None:
    loss = product_loss(torch.tensor(2.0), torch.tensor(20_000.0), alpha=0.2, beta=0.6)
    assert float(loss) == pytest.approx(2.0 * 0.2 * math.log(20_000) ** 0.6)


def test_the_products_elasticity_to_latency_is_beta_over_its_logarithm() -> None:
    latency_us = torch.tensor(20_000.0, dtype=torch.float64, requires_grad=True)
    cross_entropy = torch.tensor(1.3, dtype=torch.float64)
    loss = product_loss(cross_entropy, latency_us, alpha=0.2, beta=0.6)
    loss.backward()
    assert latency_us.grad is not None
    assert (latency_us.grad * latency_us / loss).item() == pytest.approx(0.061, abs=5e-4)


@pytest.mark.parametrize(("latency_us", "expected"), [(90.0, 1.5), (100.0, 1.5), (150.0, 3.0)])
def test_the_target_loss_adds_only_what_exceeds_the_target(
    latency_us: float, expected: float
) -> None:
    loss = target_loss(
        torch.tensor(1.5),
        torch.tensor(latency_us, dtype=torch.float64),
        target=100.0,
        multiplier=torch.tensor(3.0),
    )
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(expected)


def test_milliseconds_are_refused_and_the_way_out_is_named() -> None:
    matrix = random_costs([5] * 20, 1)
    require_microseconds(matrix)
    in_ms = CostMatrix(costs=matrix.costs / 1000, fixed=matrix.fixed / 1000)
    with pytest.raises(UsageError, match=r"milliseconds were probably given.*set a target"):
        require_microseconds(in_ms)


def test_a_target_below_the_fastest_network_is_refused_with_the_fastest_latency() -> None:
    matrix = CostMatrix(costs=np.array([[100.0, 50.0], [70.0, np.inf]]), fixed=30.0)
    require_reachable(matrix, CostTarget(value=150.0, unit=Unit.US))
    with pytest.raises(UsageError, match=r"the fastest takes 150\.0 us"):
        require_reachable(matrix, CostTarget(value=149.0, unit=Unit.US))
    for value in (math.nan, math.inf):
        with pytest.raises(UsageError):
            require_reachable(matrix, CostTarget(value=value, unit=Unit.US))
    with pytest.raises(UsageError, match="parameters does not fit"):
        require_reachable(matrix, CostTarget(value=150.0, unit=Unit.PARAMS))


def test_costs_of_another_space_are_refused() -> None:
    space = make_space("fbnet-mini")
    widths = [len(layer.choices) for layer in space.layers]
    require_costs(random_costs(widths, 0), space)
    for other in ([*widths, 9], [9] * len(widths), [min(width, 8) for width in widths]):
        with pytest.raises(UsageError, match="not those of"):
            require_costs(random_costs(other, 0), space)
