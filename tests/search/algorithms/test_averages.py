"""Averages of the weights that a search shares: what its networks inherit in the end."""

from typing import Any

import pytest
import torch

from search.algorithms.averages import settle_averages, settled
from search.algorithms.recipes import open_recipe, search_recipe
from search.algorithms.single_path.recipe import SinglePathRecipe
from search.algorithms.single_path.search import SinglePathSearch
from search.latency.space_costs import counted_costs
from search.spaces.registry import make_space
from tests.search.algorithms.test_path_sampling import batch_of, search_of

pytestmark = pytest.mark.thorough

DECAY = 0.15  # below (1 + t) / (10 + t) from the first step on
KINDS = ("fbnet", "fbnetv2", "fp-nas", "single-path")


def averaged_search(kind: str, ema: float) -> Any:
    if kind != "single-path":
        return search_of(kind, weight_ema=ema)
    torch.manual_seed(0)
    space = make_space("single-path-mini", resolution=8, width=0.5, classes=4, head_channels=16)
    recipe = SinglePathRecipe(epochs=4, batch=8, weight_ema=ema, optimiser="sgd", weight_rate=0.1)
    return SinglePathSearch(space, counted_costs(space, "flops"), recipe=recipe)


def _step(search: Any, seed: int, kind: str) -> None:
    search.module.zero_grad(set_to_none=True)
    search.backward("weights", batch_of(16 if kind == "fbnetv2" else 8, seed))
    search.optimizer("weights").step()


def _weights(search: Any) -> dict[str, torch.Tensor]:
    named = search.module.supernet.named_parameters()
    return {name: weight.detach().clone() for name, weight in named}


@pytest.mark.parametrize("kind", KINDS)
def test_networks_inherit_the_average_that_the_recipe_asks_for(kind: str) -> None:
    search = averaged_search(kind, DECAY)
    supernet = search.module.supernet
    spared = {id(one) for one in supernet.thresholds()} if kind == "single-path" else set()
    spared_names = {name for name, one in supernet.named_parameters() if id(one) in spared}
    expected = _weights(search)
    search.start_epoch(0)
    for seed in range(3):
        _step(search, seed, kind)
        for name, weight in _weights(search).items():
            expected[name] = DECAY * expected[name] + (1 - DECAY) * weight
    last = _weights(search)
    state = {name: value.clone() for name, value in search.module.state_dict().items()}
    settle_averages(search.module)
    after = _weights(search)
    assert any(not torch.equal(after[name], last[name]) for name in after)
    for name, weight in after.items():
        wanted = last[name] if name in spared_names else expected[name]
        torch.testing.assert_close(weight, wanted)
    # A checkpoint holds both, and gives the same weights.
    from_file = settled(state, "supernet.")
    assert set(from_file) == set(supernet.state_dict())
    for name, weight in after.items():
        assert torch.equal(from_file[name], weight)


@pytest.mark.parametrize("kind", KINDS)
def test_without_one_nothing_is_kept_and_the_last_weights_stay(kind: str) -> None:
    search = averaged_search(kind, 0.0)
    assert not any("averages" in name for name in search.module.state_dict())
    before = _weights(search)
    settle_averages(search.module)
    assert all(torch.equal(before[name], weight) for name, weight in _weights(search).items())


@pytest.mark.parametrize("method", ["fbnet", "fbnetv2", "fp-nas", "parsec", "single-path"])
def test_recipes_of_every_method_reach_it(method: str) -> None:
    recipe = open_recipe("cpu", ("weights.ema=0.99",), method)
    assert search_recipe(recipe, method).weight_ema == 0.99
