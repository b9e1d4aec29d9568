"""FBNetV2: masks, resolutions, costs of variables that touch, derived networks, the search."""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search.algorithms.expected_cost import ExpectedFactorCosts
from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fbnet.search import THETA, WEIGHTS
from search.algorithms.fbnetv2.recipe import FBNetV2Recipe
from search.algorithms.fbnetv2.search import FBNetV2Search
from search.algorithms.recipes import make_search_recipe
from search.costs.factors import Factor, FactorCosts
from search.errors import UsageError
from search.operators.counts import count
from search.operators.modules import build_network
from search.operators.spec import OperatorSpec
from search.selection.exact import network_of
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.registry import make_space, parse_space
from search.supernets.base import legal_mask
from search.supernets.masked import MaskedSupernet
from search.supernets.masks import channel_mask, leading_ones, sampled_pixels, scatter, subsample
from search.training.protocol import Batch
from tests.search.supernets.masked_bytes import bend, growth_per_two_orders, saved_bytes
from tests.search.targets import latency_target


def space_of() -> MaskedSpace:
    space = make_space("fbnetv2-mini", resolution=32, classes=4, head_channels=16)
    assert isinstance(space, MaskedSpace)
    return space


SPACE = space_of()
WIDTHS = [len(variable.choices) for variable in SPACE.layers]
Choices = tuple[int, ...]
any_network = st.tuples(*(st.integers(0, width - 1) for width in WIDTHS))


def price(operator: OperatorSpec) -> float:
    return 0.0 if operator.kind == "skip" else 100 + count(operator).flops / 1e3


COSTS = SPACE.costs(price, 500.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def one_hot(choices: Sequence[int]) -> Tensor:
    weights = torch.zeros(len(WIDTHS), max(WIDTHS))
    weights[torch.arange(len(choices)), torch.tensor(choices)] = 1
    return weights


def search_of(target_us: float | None = None, **changes: Any) -> FBNetV2Search:
    torch.manual_seed(0)
    recipe = FBNetRecipe(**{"epochs": 3, "batch": 2, "freeze_epochs": 0, **changes})
    return FBNetV2Search(SPACE, COSTS, recipe=recipe, target=latency_target(target_us))


def batch_of(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randn(2, 3, 32, 32, generator=generator),
        labels=torch.randint(0, 4, (2,), generator=generator),
        generator=generator,
        autocast=nullcontext,
    )


# --- spaces ------------------------------------------------------------------


def test_spaces_come_back_from_their_specs() -> None:
    for name in ("fbnetv2", "fbnetv2-f", "fbnetv2-mini"):
        space = make_space(name)
        again = parse_space(space.spec)
        assert again == space
        assert again.sha256 == space.sha256
        with pytest.raises(UsageError, match="no width multiplier"):
            make_space(name, width=0.5)


def test_the_largest_space_has_18_blocks_and_the_printed_ranges() -> None:
    space = make_space("fbnetv2")
    assert isinstance(space, MaskedSpace)
    assert len(space.masked_layers) == 18
    names = {variable.name: [o.name for o in variable.choices] for variable in space.layers}
    assert names["resolution"] == ["r128", "r160", "r192", "r224", "r256"]
    assert names["stage2.width"] == ["c16", "c20", "c24", "c28"]
    assert names["stage6.width"][-1] == "c216"
    assert names["stage5.1.expansion"] == ["e0.75", "e1.5", "e2.25", "e3", "e3.75", "e4.5"]
    assert [len(names[f"stage3.{n}.block"]) for n in (1, 2)] == [8, 9]
    # One choice a variable, widths shared in a stage.
    assert math.prod(len(options) for options in names.values()) > 1e30


def test_every_operator_of_a_random_network_is_one_that_a_table_would_hold() -> None:
    import random

    known = set(SPACE.operators)
    for seed in range(5):
        network = SPACE.random_architecture(random.Random(seed), "random")
        assert {o for o in network.operators if o.kind != "skip"} <= known


# --- masks and resolutions ---------------------------------------------------


def test_a_masked_output_is_the_padded_sum_of_the_narrower_outputs() -> None:
    torch.manual_seed(0)
    widths, x = [4, 6, 8], torch.randn(2, 5, 7, 7)
    block = nn.Sequential(nn.Conv2d(5, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    weights = torch.tensor([0.2, 0.5, 0.3])
    y = block(x)
    padded = sum(
        g * nn.functional.pad(y[:, :width], (0, 0, 0, 0, 0, 8 - width))
        for g, width in zip(weights, widths, strict=True)
    )
    masked = y * channel_mask(weights, leading_ones(widths, 8))
    torch.testing.assert_close(masked, padded, atol=1e-5, rtol=0)


@given(st.integers(1, 40), st.data())
def test_sampled_pixels_come_back_where_they_were_and_all_else_is_zero(
    full: int, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, full))
    images = torch.arange(1.0, full * full + 1).reshape(1, 1, full, full)
    small = subsample(images, size)
    assert small.shape == (1, 1, size, size)
    back = scatter(small, full)
    kept = back != 0
    assert int(kept.sum()) == size * size
    assert torch.equal(back[kept], images[kept])
    at = sampled_pixels(full, size, images.device)
    assert at.tolist() == [int(i * full / size) for i in range(size)]


# --- costs -------------------------------------------------------------------


@settings(max_examples=20)
@given(any_network)
def test_the_terms_price_a_network_as_the_sum_of_its_operators(choices: Choices) -> None:
    network = network_of(SPACE, choices, "any")
    expected = 500.0 + sum(price(operator) for operator in network.operators)
    assert COSTS.cost_of([choices])[0] == pytest.approx(expected)
    soft = ExpectedFactorCosts(COSTS)(one_hot(choices))
    assert float(soft) == pytest.approx(expected, rel=1e-9)


def test_the_expected_cost_is_the_mean_over_all_networks() -> None:
    draw = np.random.default_rng(0)
    factors = (
        Factor(variables=(0, 1), values=draw.uniform(size=(2, 3))),
        Factor(variables=(1, 2, 3), values=draw.uniform(size=(3, 2, 4))),
    )
    widths = (2, 3, 2, 4)
    costs = FactorCosts(widths=widths, fixed=1.0, factors=factors)
    rows = [torch.from_numpy(draw.dirichlet(np.ones(width))) for width in widths]
    weights = torch.zeros(4, 4, dtype=torch.float64)
    for row, values in zip(weights, rows, strict=True):
        row[: len(values)] = values
    networks = list(itertools.product(*(range(width) for width in widths)))
    shares = [np.prod([float(rows[v][o]) for v, o in enumerate(network)]) for network in networks]
    expected = float(np.dot(shares, costs.cost_of(networks)))
    assert float(ExpectedFactorCosts(costs)(weights)) == pytest.approx(expected, rel=1e-12)


# --- derived networks --------------------------------------------------------

_KEPT: list[MaskedSupernet] = []


def _trained() -> MaskedSupernet:
    """In evaluation mode, with statistics and biases that are not those of a fresh network."""
    if not _KEPT:
        torch.manual_seed(0)
        supernet = MaskedSupernet(SPACE)
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = True
                nn.init.uniform_(module.bias, -1, 1)
                nn.init.uniform_(module.running_mean, -1, 1)
                nn.init.uniform_(module.running_var, 0.5, 2)
        _KEPT.append(supernet.eval())
    return _KEPT[0]


@settings(max_examples=8)
@given(any_network)
def test_one_hot_masks_equal_the_derived_network(choices: Choices) -> None:
    supernet, images = _trained(), torch.randn(2, 3, 32, 32, generator=torch.Generator())
    derived = supernet.derive(choices).eval()
    with torch.no_grad():
        found, expected = supernet(images, one_hot(choices)), derived(images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    plain = build_network(network_of(SPACE, choices, "plain").operators)
    assert plain.load_state_dict(derived.state_dict()).missing_keys == []


def test_a_cold_draw_is_a_discrete_network() -> None:
    method = search_of(temperature=1e-4, annealing=0.0)
    with torch.no_grad():
        draw = method.draw(torch.Generator().manual_seed(0))
        choices = tuple(draw.argmax(1).tolist())
        images = batch_of().images
        torch.testing.assert_close(
            method.module(images, draw), method.derive(choices)(images), atol=1e-4, rtol=1e-4
        )


# --- memory ------------------------------------------------------------------


def test_masks_keep_the_memory_of_one_width_where_copies_grow_in_a_line() -> None:
    shape = {"channels": 64, "batch": 4, "size": 16}
    masked = {k: saved_bytes(k, naive=False, **shape) for k in (1, 64)}
    assert growth_per_two_orders(masked[1], masked[64], 64) <= 0.1e6
    naive = {k: float(saved_bytes(k, naive=True, **shape)) for k in (1, 3, 6, 8)}
    assert bend(naive) <= 0.05
    assert naive[8] > 6 * masked[64]


# --- the search --------------------------------------------------------------


def test_gradients_reach_every_variable_and_the_weights_rest_meanwhile() -> None:
    method = search_of(target_us=COSTS.cheapest() * 1.5, multiplier=1.0)
    method.start_epoch(0)
    report = method.backward(THETA, batch_of())
    grad = method.module.theta.grad
    assert grad is not None
    free = torch.tensor(WIDTHS) > 1
    assert bool((grad.abs().sum(1)[free] > 0).all())
    assert not grad[~legal_mask(SPACE)].any()
    assert all(p.grad is None for p in method.module.supernet.parameters())
    assert report.latency_us is not None
    method.module.zero_grad(set_to_none=True)
    method.backward(WEIGHTS, batch_of())
    assert method.module.theta.grad is None


def test_the_papers_preset_scatters_resolutions_and_is_fbnets_otherwise() -> None:
    paper, cpu = make_search_recipe("fbnetv2", "paper"), make_search_recipe("fbnetv2", "cpu")
    for recipe, name in ((paper, "paper"), (cpu, "cpu")):
        assert isinstance(recipe, FBNetV2Recipe)
        assert {k: v for k, v in asdict(recipe).items() if k != "scattered"} == asdict(
            make_search_recipe("fbnet", name)
        )
        method = FBNetV2Search(
            SPACE, COSTS, recipe=recipe, target=latency_target(COSTS.cheapest() * 2)
        )
        supernet = method.module.supernet
        assert isinstance(supernet, MaskedSupernet)
        assert supernet.scattered == (name == "paper")


def test_other_spaces_are_refused() -> None:
    space = make_space("fbnet-mini")
    with pytest.raises(UsageError, match="does not search"):
        FBNetV2Search(space, COSTS)
