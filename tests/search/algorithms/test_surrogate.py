"""FBNet's product loss against the exact optimum of the 22-layer space."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import FBNetSearch
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.spaces.registry import make_space
from tests.search.algorithms import surrogate
from tests.search.algorithms.training_walk import walk

pytestmark = pytest.mark.thorough

SPACE = make_space("fbnet")
# The paper's, but for a theta that is ten times as fast over a sixteenth of its steps.
RECIPE = FBNetRecipe(epochs=25, freeze_epochs=0, theta_rate=0.1, annealing=0.15)
STEPS_AN_EPOCH = 20


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def product(cross_entropy: surrogate.Array, latency_us: surrogate.Array) -> surrogate.Array:
    """Equation 2."""
    return cross_entropy * RECIPE.alpha * np.log(latency_us) ** RECIPE.beta


def loss_of(matrix: CostMatrix, quality: surrogate.Array, choices: tuple[int, ...]) -> float:
    cross_entropy = np.array(surrogate.cross_entropy(quality, choices))
    return float(product(cross_entropy, matrix.cost_of([choices])[0]))


@pytest.mark.parametrize("table", [0, 1])
def test_the_product_loss_ends_within_half_a_percent_of_the_exact_optimum(table: int) -> None:
    matrix, quality = surrogate.random_problem(SPACE, table)
    best = surrogate.least_loss(matrix, quality, product)
    method = FBNetSearch(SPACE, matrix, recipe=RECIPE, build=surrogate.builder(quality))
    noise = surrogate.noise(STEPS_AN_EPOCH, seed=table)
    nothing = (noise[0][:0], noise[1][:0])
    walk(method, [nothing, noise], batch=1, seed=table)
    assert loss_of(matrix, quality, method.argmax()) <= 1.005 * best
    # Neither quality alone nor latency alone would have done.
    for ignorant in (quality, matrix.costs):
        choices = tuple(ignorant.argmin(1).tolist())
        assert loss_of(matrix, quality, choices) > 1.005 * best


def test_the_reference_optimum_is_that_of_enumeration() -> None:
    matrix, quality = surrogate.random_problem(make_space("fbnet-mini"), 0)
    widths = np.isfinite(quality).sum(1)
    networks = np.array(list(np.ndindex(*widths[:3])))
    few = CostMatrix(costs=matrix.costs[:3], fixed=matrix.fixed)
    sums = surrogate.LEAST_CE + np.take_along_axis(quality[:3], networks.T, axis=1).sum(0)
    expected = product(sums, few.cost_of(networks)).min()
    assert surrogate.least_loss(few, quality[:3], product) == pytest.approx(expected, rel=1e-12)


def test_milliseconds_would_make_skipping_the_best_and_are_refused() -> None:
    matrix, quality = surrogate.random_problem(SPACE, 0)
    in_ms = CostMatrix(costs=matrix.costs / 1000, fixed=matrix.fixed / 1000)
    able = tuple(quality.argmin(1).tolist())
    skips = tuple(matrix.costs.argmin(1).tolist())
    assert loss_of(matrix, quality, able) < loss_of(matrix, quality, skips)
    assert loss_of(in_ms, quality, able) > loss_of(in_ms, quality, skips)
    with pytest.raises(UsageError, match="milliseconds were probably given"):
        FBNetSearch(SPACE, in_ms, recipe=RECIPE, build=surrogate.builder(quality))
