"""FP-NAS and PARSEC: gradients against exact expectations, draws, the two distributions."""

import itertools
import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from search.algorithms.fp_nas.factored import FactoredLogits
from search.algorithms.fp_nas.factors import ANY, factorise
from search.algorithms.fp_nas.importance import GradientMean, alpha_weights
from search.algorithms.fp_nas.recipe import (
    CategoricalRecipe,
)
from search.algorithms.fp_nas.search import FACTORS, JOINT, WEIGHTS, CategoricalSearch
from search.algorithms.recipes import make_search_recipe
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.spaces.base import Layer
from search.spaces.registry import make_space
from search.supernets.base import legal_mask
from search.training.protocol import Batch
from tests.search.algorithms import planted
from tests.search.targets import latency_target

SPACE = make_space("fbnet-mini", resolution=8, width=0.5, classes=4, head_channels=16)
LEGAL = legal_mask(SPACE)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe_of(**changes: Any) -> CategoricalRecipe:
    values: dict[str, Any] = {"epochs": 4, "batch": 8, "weight_rate": 0.1, "weight_share": 0.5}
    return CategoricalRecipe(**{**values, **changes})


def costs() -> CostMatrix:
    prices = np.random.default_rng(0).uniform(300, 900, LEGAL.shape)
    return CostMatrix(costs=np.where(LEGAL.numpy(), prices, np.inf), fixed=500.0)


def search_of(target_us: float | None = 4000.0, **changes: Any) -> CategoricalSearch:
    torch.manual_seed(0)
    return CategoricalSearch(
        SPACE, costs(), recipe=recipe_of(**changes), target=latency_target(target_us)
    )


def planted_search(**changes: Any) -> CategoricalSearch:
    torch.manual_seed(0)
    return CategoricalSearch(
        planted.PlantedSpace(),
        planted.costs("A"),
        recipe=recipe_of(**changes),
        target=latency_target(planted.TARGET_US),
        build=planted.build,
    )


def batch_of(number: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randn(number, 3, 8, 8, generator=generator),
        labels=torch.randint(0, 4, (number,), generator=generator),
        generator=generator,
        autocast=nullcontext,
    )


# --- recipes -----------------------------------------------------------------


def test_the_papers_presets_hold_the_papers_hyperparameters() -> None:
    recipe = make_search_recipe("fp-nas", "paper")
    assert isinstance(recipe, CategoricalRecipe)
    assert (recipe.epochs, recipe.freeze_epochs, recipe.joint_epoch) == (315, 45, 80)
    assert (recipe.batch, recipe.weight_share, recipe.weight_rate) == (2048, 0.5, 0.8)
    assert (recipe.alpha_rate, recipe.beta, recipe.beta_rate) == (0.016, 0.3, 0.0)
    assert (recipe.draws_per_nat, recipe.least_draws, recipe.draws) == (0.25, 1, None)
    parsec = make_search_recipe("parsec", "paper")
    assert isinstance(parsec, CategoricalRecipe)
    assert (parsec.draws, parsec.joint_epoch, parsec.epochs) == (14, 0, 315)


@pytest.mark.parametrize(
    "wrong",
    [{"least_draws": 0}, {"draws": 0}, {"weight_share": 1.0}, {"beta": -1.0}, {"alpha_rate": 0.0}],
)
def test_impossible_recipes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        recipe_of(**wrong)


@pytest.mark.parametrize(("nats", "draws"), [(59.0, 14), (56.25, 14), (8.0, 2), (0.1, 2)])
def test_the_number_of_draws_follows_the_entropy_down_to_its_floor(nats: float, draws: int) -> None:
    assert recipe_of().draws_at(nats) == draws
    assert recipe_of(draws=5).draws_at(nats) == 5


# --- factorised and joint ----------------------------------------------------


def test_a_layer_with_skip_has_a_kernel_of_three_values_and_an_expansion() -> None:
    layer = next(layer for layer in SPACE.layers if any(choice.is_skip for choice in layer.choices))
    factors = factorise(layer)
    assert (factors.names, factors.sizes) == (("kernel", "expansion"), (3, 4))
    skip = [choice.is_skip for choice in layer.choices].index(True)
    assert factors.values[skip] == (2, ANY)
    assert len(set(factors.values)) == len(layer.choices)


def test_a_layer_that_is_no_full_product_is_one_variable() -> None:
    whole = SPACE.layers[0]
    part = Layer(name="part", choices=whole.choices[:3])
    assert factorise(part).sizes == (3,)


@given(st.integers(0, 2**31))
def test_independent_variables_make_a_distribution_over_candidates(seed: int) -> None:
    factored, generator = FactoredLogits(SPACE), torch.Generator().manual_seed(seed)
    factored.theta.data.copy_(3 * torch.randn(factored.theta.shape, generator=generator))
    found = factored().detach().double().exp()
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)).double(), atol=1e-6, rtol=0)
    assert (found[~LEGAL] == 0).all()


def test_joining_leaves_every_networks_probability_unchanged_and_happens_once() -> None:
    method = search_of(joint_epoch=2)
    theta = method.module.factors.theta
    theta.data.copy_(torch.randn(theta.shape, generator=torch.Generator().manual_seed(1)))
    method.start_epoch(1)
    before = method.probabilities()
    assert [phase.name for phase in method.phases(1)] == [WEIGHTS, FACTORS]
    method.start_epoch(2)
    assert [phase.name for phase in method.phases(2)] == [WEIGHTS, JOINT]
    torch.testing.assert_close(method.probabilities(), before, atol=1e-6, rtol=0)
    assert not method.optimizer(JOINT).state
    method.module.theta.data[0, 0] += 1
    learnt = method.probabilities()
    method.start_epoch(3)  # as a resumed run does
    torch.testing.assert_close(method.probabilities(), learnt, atol=0, rtol=0)


def test_the_factorised_search_moves_its_variables_and_not_the_joint_logits() -> None:
    method = search_of(joint_epoch=None)
    method.start_epoch(0)
    method.backward(FACTORS, batch_of())
    assert method.module.factors.theta.grad is not None
    assert method.module.theta.grad is None
    assert all(p.grad is None for p in method.module.supernet.parameters())


# --- gradients ---------------------------------------------------------------


def _logits() -> Tensor:
    """Probabilities that are whole numbers of quarters and halves."""
    return torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(3), 0.0]])


def _every(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    networks = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    return networks, probabilities[torch.arange(3), networks].prod(1)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_equation_7_is_the_gradient_of_the_exact_expectation(beta: float) -> None:
    method = planted_search(beta=beta, joint_epoch=0)
    method.module.theta.data.copy_(_logits())
    networks, shares = _every(method.probabilities())
    log_likelihoods = -torch.rand(8, generator=torch.Generator().manual_seed(0)).double() * 3
    # Every network as often as its probability says: the sum is the expectation.
    drawn = networks.repeat_interleave((shares * 32).round().long(), 0)
    numbers = (drawn * torch.tensor([4, 2, 1])).sum(1)
    method.surrogate(drawn, log_likelihoods[numbers]).backward()
    theta = _logits().double().requires_grad_()
    _, exact = _every(theta.softmax(1))
    excess = torch.relu(torch.from_numpy(planted.costs("A").cost_of(networks.numpy())) / 330 - 1)
    loss = -(exact * log_likelihoods.exp()).sum().log() + beta * (exact * excess).sum().log()
    loss.backward()
    torch.testing.assert_close(method.module.theta.grad.double(), theta.grad, atol=1e-6, rtol=1e-5)


def test_the_baseline_leaves_the_expected_gradient_as_it_is() -> None:
    found = []
    for baseline in (False, True):
        method = planted_search(joint_epoch=0, baseline=baseline)
        method.module.theta.data.copy_(_logits())
        networks, shares = _every(method.probabilities())
        drawn = networks.repeat_interleave((shares * 32).round().long(), 0)
        method.surrogate(drawn, -drawn.sum(1).double()).backward()
        found.append(method.module.theta.grad)
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)


def test_likely_networks_are_raised_and_costly_ones_lowered() -> None:
    weights = alpha_weights(torch.tensor([-1.0, -3.0]), torch.tensor([0.0, 0.5]), 0.3)
    likely = torch.tensor([-1.0, -3.0]).double().softmax(0)
    torch.testing.assert_close(weights, likely - torch.tensor([0.0, 0.3]).double())


def test_no_network_over_the_target_means_no_cost_and_no_division_by_zero() -> None:
    weights = alpha_weights(torch.tensor([-1.0, -2.0]), torch.zeros(2), 5.0)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert (weights > 0).all()


def test_likelihoods_of_whole_batches_neither_underflow_nor_overflow() -> None:
    weights = alpha_weights(torch.tensor([-5000.0, -5001.0, 3000.0 - 8000.5]), torch.zeros(3), 0.3)
    assert torch.isfinite(weights).all()
    assert weights.argmax() == 0


@given(st.lists(st.floats(-200, 0), min_size=1, max_size=6))
def test_streamed_gradients_are_the_weighted_mean_in_any_order(values: list[float]) -> None:
    parameter = torch.nn.Parameter(torch.zeros(len(values), dtype=torch.float64))
    mean = GradientMean([parameter])
    for number, value in enumerate(values):
        mean.add(parameter[number], value)
    mean.finish()
    expected = torch.tensor(values, dtype=torch.float64).softmax(0)
    assert parameter.grad is not None
    torch.testing.assert_close(parameter.grad, expected, atol=1e-12, rtol=0)


def test_a_weights_step_is_the_likelihood_weighted_gradient_of_the_drawn_networks() -> None:
    method = search_of(draws=3, likelihood_images=2.0)
    method.start_epoch(0)
    batch = batch_of(seed=3)
    drawn = method._draw(torch.Generator().manual_seed(3))
    supernet = method.module.supernet

    def run(row: Tensor) -> Tensor:
        logits = supernet(batch.images, supernet.one_hot(row.tolist()))
        return torch.nn.functional.cross_entropy(logits, batch.labels)

    entropies = torch.stack([run(row) for row in drawn])
    ((-2 * entropies.detach()).softmax(0) * entropies).sum().backward()
    expected = {name: p.grad for name, p in supernet.named_parameters()}
    method.module.zero_grad(set_to_none=True)
    batch.generator.manual_seed(3)
    method.backward(WEIGHTS, batch)
    for name, parameter in supernet.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None)
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-3)


# --- targets and runs --------------------------------------------------------


def settled(beta_rate: float) -> float:
    """Mean cost after a search in which the wide kernels, the costly ones, are likelier."""
    method = planted_search(alpha_rate=0.05, beta=0.1, beta_rate=beta_rate, baseline=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        method.module.zero_grad()
        method._raise_beta()
        drawn = torch.tensor(method.sample(8, generator))
        method.surrogate(drawn, 1.0 * drawn.sum(1)).backward()
        method.optimizer(JOINT).step()
    return method.progress()["expected_latency_us"]


def test_the_mean_cost_comes_under_the_target_where_a_fixed_weight_stays_above() -> None:
    assert settled(beta_rate=0.0) > 1.5 * planted.TARGET_US
    assert settled(beta_rate=0.05) <= planted.TARGET_US


def _descended(method: CategoricalSearch, steps: int) -> list[float]:
    """Mean costs relative to the target where dear candidates are the better ones."""
    prices, generator = costs(), torch.Generator().manual_seed(0)
    target = method.target
    assert target is not None
    found = []
    for step in range(steps):
        method.start_epoch(2 + step * 12 // steps)
        name = method.phases(2 + step * 12 // steps)[-1].name
        method.module.zero_grad()
        method._raise_beta()
        drawn = method._draw(generator)
        quality = torch.from_numpy(prices.cost_of(drawn.numpy())) / 200
        method.surrogate(drawn, quality).backward()
        method.optimizer(name).step()
        found.append(method.progress()["expected_latency_us"] / target.value)
    return found


@pytest.mark.parametrize("name", ["fp-nas", "parsec"])
def test_the_cpu_presets_end_with_a_mean_cost_within_the_target(name: str) -> None:
    torch.manual_seed(0)
    recipe = make_search_recipe(name, "cpu")
    assert isinstance(recipe, CategoricalRecipe)
    target = latency_target(1.15 * costs().cheapest())
    method = CategoricalSearch(SPACE, costs(), recipe=recipe, target=target)
    found = _descended(method, 180)
    assert found[0] > 1.1
    assert max(found[-40:]) <= 1.0
    assert np.mean(found[-40:]) > 0.85


def test_fewer_networks_are_drawn_as_the_distribution_grows_certain() -> None:
    method = search_of(joint_epoch=0, draws_per_nat=0.5)
    start = method.progress()["draws"]
    method.module.theta.data[:, 0] = 20.0
    assert method.progress()["draws"] == 2 < start
    method.backward(JOINT, batch_of())
    assert method.progress()["networks_drawn"] == 2


def test_a_target_below_every_network_is_refused() -> None:
    with pytest.raises(UsageError, match="No network reaches"):
        search_of(target_us=10.0)
