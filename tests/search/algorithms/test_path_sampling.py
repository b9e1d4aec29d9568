"""Single networks that train the weights while the architecture rests."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search.algorithms import path_sampling
from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import FBNetSearch
from search.algorithms.fbnetv2.recipe import FBNetV2Recipe
from search.algorithms.fbnetv2.search import FBNetV2Search
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.fp_nas.search import CategoricalSearch
from search.algorithms.path_sampling import TEMPERATURE, draw_fair, draw_mixture, draw_uniform
from search.algorithms.recipe import PathRecipe
from search.algorithms.recipes import open_recipe, search_recipe
from search.costs.base import CostTarget
from search.errors import UsageError
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from search.training.protocol import Batch

pytestmark = pytest.mark.thorough

SMALL: dict[str, Any] = {"resolution": 8, "width": 0.5, "classes": 4, "head_channels": 16}
CATEGORICAL: dict[str, Any] = {"epochs": 4, "batch": 8, "weight_rate": 0.1, "weight_share": 0.5}


def batch_of(side: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randn(6, 3, side, side, generator=generator),
        labels=torch.randint(0, 4, (6,), generator=generator),
        generator=generator,
        autocast=nullcontext,
    )


def search_of(kind: str, **changes: Any) -> Any:
    """A search in whose epochs 0 and 1 the architecture rests."""
    torch.manual_seed(0)
    small = SMALL if kind != "fbnetv2" else {"resolution": 16, "classes": 4}
    space = make_space({"fbnetv2": "fbnetv2-mini"}.get(kind, "fbnet-mini"), **small)
    costs = counted_costs(space, "flops")
    options: dict[str, Any] = {"target": CostTarget(value=costs.dearest(), unit=costs.unit)}
    changes = {"freeze_epochs": 2, "epochs": 4, **changes}
    if kind == "fbnet":
        return FBNetSearch(space, costs, recipe=FBNetRecipe(**changes), **options)
    if kind == "fbnetv2":
        return FBNetV2Search(space, costs, recipe=FBNetV2Recipe(**changes), **options)
    recipe = CategoricalRecipe(**{**CATEGORICAL, **changes})
    return CategoricalSearch(space, costs, recipe=recipe, **options)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    named = module.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_fair_draws_use_every_candidate_equally_often_to_one() -> None:
    generator = torch.Generator().manual_seed(1)
    widths = (3, 9, 4)
    firsts = set()
    for _ in range(20):
        paths = draw_fair(widths, generator)
        assert paths.shape == (9, 3)
        for layer, width in enumerate(widths):
            counts = np.bincount(paths[:, layer].numpy(), minlength=width)
            assert counts.max() - counts.min() <= (9 % width > 0)
        firsts.add(tuple(paths[0].tolist()))
    assert len(firsts) > 15


def test_uniform_draws_are_single_networks_of_all_candidates() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.cat([draw_uniform((3, 2), generator) for _ in range(600)])
    for layer, width in enumerate((3, 2)):
        shares = np.bincount(drawn[:, layer].numpy(), minlength=width) / 600
        assert shares == pytest.approx([1 / width] * width, abs=0.06)


@pytest.mark.parametrize("kind", ["fbnet", "fp-nas", "fbnetv2"])
def test_fair_gradients_are_the_mean_over_networks_and_reach_weights_alone(kind: str) -> None:
    method = search_of(kind, sampling="fair")
    method.start_epoch(0)
    batch = batch_of(16 if kind == "fbnetv2" else 8)
    report = method.backward("weights", batch)
    found = gradients(method.module)
    assert all(name.startswith("supernet.") for name in found)
    again = batch_of(len(batch.images[0, 0]))
    widths = method.module.legal.sum(1).tolist()
    paths = draw_fair(widths, again.generator)
    method.module.zero_grad(set_to_none=True)
    losses = []
    for path in paths.tolist():
        weights = torch.zeros(method.module.legal.shape)
        weights[torch.arange(len(path)), torch.tensor(path)] = 1
        loss = nn.functional.cross_entropy(method.module(again.images, weights), again.labels)
        losses.append(loss)
    torch.autograd.backward(torch.stack(losses).mean())
    expected = gradients(method.module)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert report.cross_entropy == pytest.approx(float(torch.stack(losses).mean().detach()))
    assert 0 <= report.correct <= report.images == 6


def test_mixtures_hold_every_candidate_and_prefer_none() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.cat([draw_mixture((3, 2), generator) for _ in range(2000)])
    assert drawn.shape == (2000, 2, 3)
    assert torch.equal(drawn[:, 1, 2], torch.zeros(2000))
    assert (drawn[:, 0] > 0).all()
    torch.testing.assert_close(drawn.sum(2), torch.ones(2000, 2))
    means = drawn.mean(0)[[0, 0, 0, 1, 1], [0, 1, 2, 0, 1]].tolist()
    assert means == pytest.approx([1 / 3] * 3 + [1 / 2] * 2, abs=0.02)


def test_a_mixture_is_what_fbnet_itself_does_before_theta_moves() -> None:
    """At the same temperature and noise the two have the same gradients."""
    own, mixed = search_of("fbnet", temperature=TEMPERATURE), search_of("fbnet", sampling="mixture")
    noise = torch.rand(mixed.module.legal.shape, generator=torch.Generator().manual_seed(5))
    weights = noise.masked_fill(~mixed.module.legal, -math.inf).softmax(1)
    own.draw = lambda _: weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(path_sampling._DRAWS, "mixture", lambda *_: weights[None])
        for method in (own, mixed):
            method.start_epoch(0)
            method.backward("weights", batch_of())
    first, second = gradients(own.module.supernet), gradients(mixed.module.supernet)
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name])


def test_weights_that_run_one_network_at_a_time_are_not_mixed() -> None:
    space = make_space("fp-nas-mini", resolution=16)
    recipe = CategoricalRecipe(**CATEGORICAL, sampling="mixture")
    with pytest.raises(UsageError, match="one network at a time"):
        CategoricalSearch(space, counted_costs(space, "flops"), recipe=recipe)


@pytest.mark.parametrize("kind", ["fbnet", "fp-nas"])
def test_single_networks_train_until_the_architecture_thaws_or_as_long_as_is_said(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def told(epoch: int) -> Any:
        asked.append(epoch)
        raise InterruptedError

    for changes, epochs in (
        ({"sampling": "own"}, 0),
        ({"sampling": "uniform"}, 2),
        ({"sampling": "uniform", "sampling_epochs": 3}, 3),
        ({"sampling": "uniform", "sampling_epochs": 0}, 0),
    ):
        method = search_of(kind, **changes)
        asked.clear()
        for epoch in range(4):
            method.start_epoch(epoch)
            monkeypatch.setattr(method, "_learn_paths", lambda _, at=epoch: told(at))
            try:
                method.backward("weights", batch_of())
            except InterruptedError:
                continue
        assert asked == list(range(epochs))


def test_the_recipe_says_how_weights_are_sampled() -> None:
    settings = ("weights.sampling=fair", "weights.sampling_until=0.5", "epochs=20")
    for method in ("fbnet", "fp-nas", "parsec", "fbnetv2"):
        recipe = search_recipe(open_recipe("cpu", settings, method), method)
        assert recipe.sampling == "fair"  # type: ignore[attr-defined]
        assert recipe.sampling_epochs == 10  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="Known: own, uniform, fair, mixture"):
        open_recipe("cpu", ("weights.sampling=sandwich",), "fbnet")
    with pytest.raises(UsageError, match="Unknown key"):
        open_recipe("cpu", ("weights.sampling=fair",), "single-path")


@pytest.mark.parametrize("method", ["fbnet", "fp-nas", "parsec"])
def test_the_judged_recipe_trains_by_mixtures_to_the_end(method: str) -> None:
    recipe = search_recipe(open_recipe("cpu-judged", ("epochs=5",), method), method)
    assert isinstance(recipe, PathRecipe)
    assert recipe.judges_networks
    assert [recipe.samples_paths(epoch) for epoch in range(5)] == [True] * 5
    assert recipe.freeze_epochs == 3
    rates = [recipe.weight_rate_at(at) for at in (0.25, 0.5, 5.0)]
    assert rates == pytest.approx([0.001, 0.002, 0.0])
