"""FBNet's search: draws, gradients, schedules, results, refusals."""

import copy
import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import THETA, WEIGHTS, FBNetSearch, gumbel
from search.algorithms.recipes import make_search_recipe
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.spaces.registry import make_space
from search.supernets.base import legal_mask
from search.supernets.mixture import MixtureSupernet
from search.training.protocol import Batch, Phase
from tests.search.targets import latency_target

SPACE = make_space("fbnet-mini", resolution=8, width=0.5, classes=4, head_channels=16)
LEGAL = legal_mask(SPACE)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def costs(scale: float = 1.0) -> CostMatrix:
    prices = np.random.default_rng(0).uniform(300, 900, LEGAL.shape)
    legal = np.where(LEGAL.numpy(), prices, np.inf)
    return CostMatrix(costs=scale * legal, fixed=scale * 500.0)


def search_of(target_us: float | None = 4000.0, **changes: Any) -> FBNetSearch:
    torch.manual_seed(0)
    return FBNetSearch(
        SPACE, costs(), recipe=FBNetRecipe(**changes), target=latency_target(target_us)
    )


def batch_of(number: int = 8, seed: int = 0, fraction: float = 0.0) -> Batch:
    """A batch whose noise depends on nothing but the seed."""
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randn(number, 3, 8, 8, generator=generator),
        labels=torch.randint(0, 4, (number,), generator=generator),
        generator=generator,
        autocast=nullcontext,
        fraction=fraction,
    )


def step(method: FBNetSearch, phase: str, batch: Batch) -> None:
    method.module.zero_grad(set_to_none=True)
    method.backward(phase, batch)
    method.optimizer(phase).step()


def with_theta(method: FBNetSearch, seed: int = 0) -> FBNetSearch:
    noise = torch.randn(LEGAL.shape, generator=torch.Generator().manual_seed(seed))
    method.module.theta.data.copy_(noise.masked_fill(~LEGAL, 0))
    return method


# --- recipes -----------------------------------------------------------------


def test_the_papers_preset_holds_the_papers_hyperparameters() -> None:
    recipe = make_search_recipe("fbnet", "paper")
    assert isinstance(recipe, FBNetRecipe)
    assert (recipe.epochs, recipe.batch, recipe.weight_share) == (90, 192, 0.8)
    assert (recipe.weight_rate, recipe.weight_momentum, recipe.weight_decay) == (0.1, 0.9, 1e-4)
    assert (recipe.theta_rate, recipe.theta_decay, recipe.freeze_epochs) == (1e-2, 5e-4, 10)
    assert (recipe.alpha, recipe.beta, recipe.samples, recipe.literal) == (0.2, 0.6, 6, False)
    assert recipe.negligible == 0
    assert recipe.temperature_at(0) == 5.0
    assert recipe.temperature_at(89) == pytest.approx(0.091, abs=5e-4)
    rates = [recipe.weight_rate_at(epoch) for epoch in (0, 45, 90)]
    assert rates == pytest.approx([0.1, 0.05, 0.0])


def test_the_presets_optimisers_are_sgd_and_adam_with_coupled_decay() -> None:
    method = search_of()
    sgd, adam = method.optimizer(WEIGHTS), method.optimizer(THETA)
    assert type(sgd) is torch.optim.SGD
    assert type(adam) is torch.optim.Adam
    assert [p for group in adam.param_groups for p in group["params"]] == [method.module.theta]
    with_theta(method)
    method.module.theta.grad = torch.zeros_like(method.module.theta)
    before = method.module.theta.detach().clone()
    adam.step()
    moved = (method.module.theta.detach() - before)[LEGAL]
    # A gradient of decay * theta alone moves each entry by the rate, towards 0.
    torch.testing.assert_close(moved, -0.01 * before[LEGAL].sign(), rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"weight_share": 1.0},
        {"freeze_epochs": 91},
        {"temperature": 0.0},
        {"theta_rate": math.nan},
        {"negligible": 0.2},
        {"classes": 1},
        {"multiplier": -1.0},
    ],
)
def test_impossible_recipes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        FBNetRecipe(**wrong)


def test_the_cpu_preset_ends_cold_and_is_short() -> None:
    recipe = make_search_recipe("fbnet", "cpu")
    assert isinstance(recipe, FBNetRecipe)
    assert recipe.temperature_at(recipe.epochs - 1) == pytest.approx(0.15, abs=0.01)
    assert recipe.epochs <= 15
    assert recipe.classes is None
    assert recipe.freeze_epochs < recipe.epochs


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Known: cpu, cpu-judged, fbnet"):
        make_search_recipe("fbnet", "gpu")


# --- phases and draws --------------------------------------------------------


def test_theta_rests_at_first_and_then_follows_the_weights() -> None:
    method = search_of(freeze_epochs=2)
    weights, theta = Phase(name="weights", split=0), Phase(name="theta", split=1)
    found = [method.phases(epoch) for epoch in range(4)]
    assert found == [(weights,), (weights,), (weights, theta), (weights, theta)]
    assert method.splits == pytest.approx((0.8, 0.2))


def test_noise_follows_the_gumbel_distribution() -> None:
    noise = gumbel((200_000,), torch.Generator().manual_seed(0))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 6, abs=0.02)


def test_hot_draws_choose_as_often_as_theta_says() -> None:
    method, generator = with_theta(search_of()), torch.Generator().manual_seed(0)
    hits = torch.zeros(LEGAL.shape)
    for _ in range(3000):
        draw = method.draw(generator).detach()
        assert not draw[~LEGAL].any()
        hits += torch.nn.functional.one_hot(draw.argmax(1), LEGAL.shape[1])
    # The largest of logits plus Gumbel noise is a draw from the softmax.
    torch.testing.assert_close((hits / 3000).double(), method.probabilities(), atol=0.03, rtol=0)


def test_one_draw_a_batch_mixes_the_network_and_prices_it() -> None:
    method, seen = with_theta(search_of()), []
    method.module.supernet.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    report = method.backward(THETA, batch_of())
    assert len(seen) == 1
    expected = float(method.module.costs(seen[0].detach()))
    assert report.latency_us == pytest.approx(expected, rel=1e-12)
    again = method.backward(THETA, batch_of(seed=1))
    assert again.latency_us != report.latency_us


def test_a_cold_draw_is_the_discrete_network() -> None:
    method = with_theta(search_of(temperature=1e-4, annealing=0.0))
    batch = batch_of()
    with torch.no_grad():
        draw = method.draw(batch.generator)
        choices = tuple(draw.argmax(1).tolist())
        mixed = method.module(batch.images, draw)
        supernet = method.module.supernet
        assert isinstance(supernet, MixtureSupernet)
        discrete = supernet.derive(choices)(batch.images)
    assert (mixed - discrete).abs().max() <= 1e-5 * max(1.0, float(discrete.abs().max()))
    latency_us = float(method.module.costs(draw))
    assert latency_us == pytest.approx(costs().cost_of([choices])[0], rel=1e-5)


def test_negligible_candidates_sit_out_and_the_others_share_their_weight() -> None:
    method = with_theta(search_of(negligible=0.05, temperature=1.0, annealing=0.0))
    exact = with_theta(search_of(temperature=1.0, annealing=0.0))
    found = method.draw(torch.Generator().manual_seed(3)).detach()
    full = exact.draw(torch.Generator().manual_seed(3)).detach()
    kept = full >= 0.05
    assert (found[~kept] == 0).all()
    assert (full[~kept & LEGAL] > 0).all()
    expected = torch.where(kept, full, 0) / torch.where(kept, full, 0).sum(1, keepdim=True)
    torch.testing.assert_close(found, expected)


# --- gradients ---------------------------------------------------------------


@pytest.mark.parametrize("target_us", [None, 4000.0], ids=["product", "target"])
def test_the_gradient_of_theta_is_that_of_finite_differences(target_us: float | None) -> None:
    method = with_theta(search_of(target_us, temperature=1.0, multiplier=0.7, multiplier_rate=0.0))
    method.module.double()

    def loss_at(theta: Tensor) -> float:
        method.module.theta.data.copy_(theta)
        batch = batch_of()
        batch = Batch(
            images=batch.images.double(),
            labels=batch.labels,
            generator=torch.Generator().manual_seed(5),
            autocast=nullcontext,
        )
        method.module.zero_grad()
        return method.backward(THETA, batch).loss

    theta = method.module.theta.detach().clone()
    loss_at(theta)
    gradient = method.module.theta.grad
    assert gradient is not None
    gradient = gradient.clone()
    assert not gradient[~LEGAL].any()
    for layer, index in ((0, 0), (1, 3), (1, 7), (2, 4), (3, 2), (4, 8 - 1), (5, 5)):
        shift = torch.zeros_like(theta)
        shift[layer, index] = 1e-6
        slope = (loss_at(theta + shift) - loss_at(theta - shift)) / 2e-6
        assert float(gradient[layer, index]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_each_phase_trains_its_own_parameters_only() -> None:
    method = search_of()
    method.backward(WEIGHTS, batch_of())
    assert method.module.theta.grad is None
    assert all(p.grad is not None for p in method.module.supernet.parameters())
    method.module.zero_grad(set_to_none=True)
    method.backward(THETA, batch_of())
    assert method.module.theta.grad is not None
    assert all(p.grad is None for p in method.module.supernet.parameters())


def test_weights_learn_from_the_cross_entropy_unless_the_recipe_is_literal() -> None:
    plain, literal = search_of(None), search_of(None, literal=True)
    one, other = plain.backward(WEIGHTS, batch_of()), literal.backward(WEIGHTS, batch_of())
    assert one.loss == one.cross_entropy == other.cross_entropy
    assert other.latency_us is not None
    factor = 0.2 * math.log(other.latency_us) ** 0.6
    assert other.loss == pytest.approx(other.cross_entropy * factor, rel=1e-6)
    pairs = zip(
        plain.module.supernet.parameters(), literal.module.supernet.parameters(), strict=True
    )
    for mine, theirs in pairs:
        assert mine.grad is not None
        torch.testing.assert_close(theirs.grad, factor * mine.grad, rtol=1e-3, atol=1e-6)


def test_steps_report_means_and_hits() -> None:
    method, batch = search_of(), batch_of(12)
    report = method.backward(WEIGHTS, batch)
    with torch.no_grad():
        logits = method.module(batch.images, method.draw(batch_of(12).generator))
    assert report.images == 12
    assert 0 <= report.correct <= 12
    assert logits.shape == (12, 4)
    assert report.cross_entropy == pytest.approx(math.log(4), abs=1.0)


def test_the_rate_of_the_weights_follows_the_cosine_within_an_epoch() -> None:
    method = search_of(epochs=10)
    method.start_epoch(4)
    method.backward(WEIGHTS, batch_of(fraction=0.5))
    rate = method.optimizer(WEIGHTS).param_groups[0]["lr"]
    assert rate == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.45)))


# --- target ------------------------------------------------------------------


def test_the_multiplier_rises_above_the_target_and_falls_to_zero_below_it() -> None:
    changes = {"multiplier": 0.2, "multiplier_rate": 0.02}
    tight, loose = search_of(2800.0, **changes), search_of(9000.0, **changes)
    for method in (tight, loose):
        for seed in range(400):
            step(method, THETA, batch_of(2, seed)) if seed < 3 else method._raise_multiplier()
    assert float(tight.module.multiplier) > 1.5
    assert float(loose.module.multiplier) == 0


def test_the_expected_latency_ends_at_the_target() -> None:
    fastest, mean = costs().cheapest(), search_of().progress()["expected_latency_us"]
    target_us = (fastest + mean) / 2
    method = search_of(
        target_us, theta_rate=0.1, multiplier=1.0, multiplier_rate=0.1, temperature=1.0
    )
    for seed in range(120):
        step(method, THETA, batch_of(8, seed))
    assert method.progress()["expected_latency_us"] <= 1.02 * target_us


def test_a_resumed_search_takes_the_same_step() -> None:
    one, other = search_of(), search_of()
    for seed, phase in enumerate((WEIGHTS, THETA, WEIGHTS, THETA)):
        step(one, phase, batch_of(seed=seed))
    other.module.load_state_dict(one.module.state_dict())
    for phase in (WEIGHTS, THETA):
        state = copy.deepcopy(one.optimizer(phase).state_dict())
        other.optimizer(phase).load_state_dict(state)
    for method in (one, other):
        method.start_epoch(1)
        for phase in (WEIGHTS, THETA):
            step(method, phase, batch_of(seed=9))
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name
    assert "multiplier" in one.module.state_dict()


# --- results -----------------------------------------------------------------


def test_results_agree_with_theta() -> None:
    method = with_theta(search_of())
    probabilities, scores = method.probabilities(), method.scores()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6, dtype=torch.float64))
    assert not probabilities[~LEGAL].any()
    torch.testing.assert_close(scores.exp(), probabilities)
    assert torch.isneginf(scores[~LEGAL]).all()
    assert method.argmax() == tuple(probabilities.argmax(1).tolist())
    assert not probabilities.requires_grad


def test_samples_follow_the_probabilities_and_the_generator() -> None:
    method = with_theta(search_of())
    drawn = method.sample(4000, torch.Generator().manual_seed(0))
    assert drawn == method.sample(4000, torch.Generator().manual_seed(0))
    shares = torch.nn.functional.one_hot(torch.tensor(drawn), LEGAL.shape[1]).double().mean(0)
    torch.testing.assert_close(shares, method.probabilities(), atol=0.03, rtol=0)


def test_progress_tells_latencies_entropy_temperature_and_multiplier() -> None:
    method = search_of()
    method.start_epoch(3)
    progress = method.progress()
    assert progress["entropy"] == pytest.approx(np.log(LEGAL.sum(1).numpy()).mean(), rel=1e-6)
    assert progress["temperature"] == pytest.approx(5 * math.exp(-0.135))
    assert progress["lambda"] == 0.0
    matrix = costs()
    finite = np.where(np.isfinite(matrix.costs), matrix.costs, 0)
    mean_us = (finite.sum(1) / LEGAL.sum(1).numpy()).sum() + 500
    assert progress["expected_latency_us"] == pytest.approx(mean_us, rel=1e-6)
    assert progress["argmax_latency_us"] == matrix.cost_of([method.argmax()])[0]
    assert "lambda" not in search_of(None).progress()


# --- refusals ----------------------------------------------------------------


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(UsageError, match="milliseconds were probably given"):
        FBNetSearch(SPACE, costs(1e-3))
    with pytest.raises(UsageError, match=r"No network reaches 100\.0 us"):
        FBNetSearch(SPACE, costs(), target=latency_target(100.0))
    with pytest.raises(UsageError, match="not those of"):
        FBNetSearch(make_space("fbnet"), costs())
