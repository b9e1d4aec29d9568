"""Single-Path NAS: superkernels, indicators, the runtime model, decoding."""

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search.algorithms.recipes import make_search_recipe
from search.algorithms.single_path.indicators import (
    RuntimeModel,
    candidates_of_gates,
    gates_of_candidate,
    runtime_of,
)
from search.algorithms.single_path.recipe import SinglePathRecipe
from search.algorithms.single_path.search import SinglePathSearch
from search.costs.matrix import CostMatrix
from search.errors import UsageError
from search.operators.modules import build_network
from search.selection.exact import network_of
from search.spaces.registry import make_space, parse_space
from search.supernets.base import legal_mask
from search.supernets.batch_norm import recalibrate
from search.supernets.superkernel import (
    SKIP_GATE,
    SuperBlock,
    SuperkernelSupernet,
    straight_through_step,
)
from search.training.protocol import Batch
from tests.search.targets import latency_target

SPACE = make_space("single-path-mini", resolution=8, width=0.5, classes=4, head_channels=16)
LEGAL = legal_mask(SPACE).numpy()
WIDTHS = [len(layer.choices) for layer in SPACE.layers]
Choices = tuple[int, ...]
any_network = st.tuples(*(st.integers(0, width - 1) for width in WIDTHS))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def costs() -> CostMatrix:
    draw = np.random.default_rng(0)
    prices = np.zeros(LEGAL.shape)
    for number, layer in enumerate(SPACE.layers):
        for index, (kernel, keep, expand) in enumerate(gates_of_candidate(layer)):
            prices[number, index] = keep * (200 + 100 * kernel + 150 * expand + draw.uniform(0, 50))
    return CostMatrix(costs=np.where(LEGAL, prices, np.inf), fixed=500.0)


def search_of(target_us: float | None = None, **changes: Any) -> SinglePathSearch:
    torch.manual_seed(0)
    values: dict[str, Any] = {"epochs": 4, "batch": 8, "weight_rate": 0.1, "norm": "l2"}
    recipe = SinglePathRecipe(**{**values, **changes})
    return SinglePathSearch(SPACE, costs(), recipe=recipe, target=latency_target(target_us))


def batch_of(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.randn(8, 3, 8, 8, generator=generator),
        labels=torch.randint(0, 4, (8,), generator=generator),
        generator=generator,
        autocast=nullcontext,
    )


def gates(choices: Choices) -> torch.Tensor:
    rows = [
        gates_of_candidate(layer)[choice]
        for layer, choice in zip(SPACE.layers, choices, strict=True)
    ]
    return torch.tensor(rows).float()


# --- the space ---------------------------------------------------------------


def test_the_papers_space_has_3e13_networks_and_its_spec_rebuilds_it() -> None:
    space = make_space("single-path")
    assert space.size.networks == 5**15 * 4**5
    assert space.size.layers == 20
    assert parse_space(space.spec) == space
    assert [operator.kind for operator in space.before] == ["conv", "ir"]
    assert [operator.out_channels for operator in space.after] == [320, 1280, 1000]


# --- indicators and decoding -------------------------------------------------


@given(any_network)
def test_every_network_comes_back_from_its_indicators(choices: Choices) -> None:
    assert candidates_of_gates(SPACE, gates(choices).tolist()) == choices


def test_the_four_blocks_decode_to_their_own_names() -> None:
    layer = SPACE.layers[1]
    names = {
        gate: choice.name
        for gate, choice in zip(gates_of_candidate(layer), layer.choices, strict=True)
    }
    assert names == {
        (0, 1, 0): "k3_e3",
        (0, 1, 1): "k3_e6",
        (1, 1, 0): "k5_e3",
        (1, 1, 1): "k5_e6",
        (0, 0, 0): "skip",
    }
    rows = [[1.0, 1.0, 1.0] for _ in SPACE.layers]
    for kernel, expand in ((0, 1), (1, 0), (1, 1)):
        rows[1] = [kernel, 0.0, expand]
        assert layer.choices[candidates_of_gates(SPACE, rows)[1]].is_skip


def test_a_step_passes_the_sigmoids_gradient_straight_through() -> None:
    margins = torch.tensor([-2.0, 0.5, 3.0, math.inf], requires_grad=True)
    found = straight_through_step(margins)
    assert found.tolist() == [0.0, 1.0, 1.0, 1.0]
    found.sum().backward()
    soft = margins.detach().sigmoid()
    torch.testing.assert_close(margins.grad, soft * (1 - soft))


def test_at_first_everything_is_on_and_the_first_layers_of_groups_cannot_be_skipped() -> None:
    method = search_of()
    largest = {choice.name for layer in SPACE.layers for choice in layer.choices} & {"k5_e6"}
    names = [layer.choices[c].name for layer, c in zip(SPACE.layers, method.argmax(), strict=True)]
    assert set(names) == largest
    with torch.no_grad():
        for threshold in method.module.supernet.thresholds():
            threshold.fill_(1e6)
    names = [layer.choices[c].name for layer, c in zip(SPACE.layers, method.argmax(), strict=True)]
    skippable = [any(choice.is_skip for choice in layer.choices) for layer in SPACE.layers]
    assert names == ["skip" if free else "k3_e3" for free in skippable]


@pytest.mark.parametrize("norm", ["l2", "rms"])
def test_both_weights_and_thresholds_feel_the_latency(norm: str) -> None:
    method = search_of(norm=norm, latency_weight=1.0, freeze_epochs=0)
    method.start_epoch(0)
    method.module.runtime(straight_through_step(method.module.supernet.margins())).log().backward()
    for layer in method.module.supernet.layers:
        assert isinstance(layer, SuperBlock)
        assert layer.thresholds.grad is not None
        felt = layer.thresholds.grad != 0
        assert bool(felt[layer.open_choices].all())
        assert not felt[~layer.open_choices].any()
        conv = layer.depthwise[0]
        assert isinstance(conv, nn.Conv2d)
        assert conv.weight.grad is not None
        assert float(conv.weight.grad.abs().sum()) > 0
        # Raising a threshold switches something off, so descent raises it.
        assert bool((layer.thresholds.grad[layer.open_choices] <= 0).all())


# --- derived networks --------------------------------------------------------


@settings(max_examples=15)
@given(any_network)
def test_the_supernet_under_indicators_equals_the_derived_network(choices: Choices) -> None:
    supernet, images = _trained(), torch.randn(2, 3, 8, 8, generator=torch.Generator())
    derived = supernet.derive(choices).eval()
    with torch.no_grad():
        expected, found = derived(images), supernet(images, gates(choices))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    plain = build_network(network_of(SPACE, choices, "plain").operators)
    assert plain.load_state_dict(derived.state_dict()).missing_keys == []


_KEPT: list[SuperkernelSupernet] = []


def _trained() -> SuperkernelSupernet:
    """In evaluation mode, with statistics and biases that are not those of a fresh network."""
    if not _KEPT:
        torch.manual_seed(0)
        supernet = SuperkernelSupernet(SPACE)
        for module in supernet.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.track_running_stats = True
                torch.nn.init.uniform_(module.bias, -1, 1)
                torch.nn.init.uniform_(module.running_mean, -1, 1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
        _KEPT.append(supernet.eval())
    return _KEPT[0]


def test_a_derived_network_can_be_recalibrated_and_leaves_the_supernet_alone() -> None:
    supernet = _trained()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    network = supernet.derive([0] * len(WIDTHS))
    assert recalibrate(network, [torch.randn(8, 3, 8, 8)]) == 8
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_space_whose_candidates_are_no_parts_of_one_block_is_refused() -> None:
    with pytest.raises(UsageError, match="not the parts of one superkernel"):
        SuperkernelSupernet(make_space("fbnet-mini", resolution=8, width=0.5))


# --- runtime -----------------------------------------------------------------


def test_equation_5_is_exact_at_three_corners_and_predicts_the_fourth() -> None:
    us = np.array([[[30.0, 70.0], [40.0, 100.0]]])
    model = RuntimeModel(us, 5.0)
    found = {
        code: float(model(torch.tensor([code]).float()))
        for code in ((1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1))
    }
    assert found[1, 1, 1] == pytest.approx(105)
    assert found[1, 1, 0] == pytest.approx(45)
    assert found[0, 1, 1] == pytest.approx(75)
    assert found[0, 1, 0] == pytest.approx(5 + 40 * 0.7)
    assert found[1, 0, 1] == 5.0
    exact = RuntimeModel(us, 5.0, formula="exact")
    assert float(exact(torch.tensor([[0.0, 1.0, 0.0]]))) == pytest.approx(35)


@given(any_network)
def test_the_exact_mode_is_the_tables_sum_for_every_network(choices: Choices) -> None:
    model = runtime_of(SPACE, costs(), "exact")
    assert float(model(gates(choices))) == pytest.approx(costs().cost_of([choices])[0])


def test_equation_5_is_within_a_fifth_of_a_percent_on_the_published_pixel_table(
    shared: Path,
) -> None:
    path = shared / "facts" / "latency_tables" / "spnas_pixel1_runtime_model.json"
    rows = json.loads(path.read_text())
    values = np.array([[rows[str(n)][str(i)] for i in range(4)] for n in range(22)])
    us = 1000 * values.reshape(22, 2, 2)  # k3e3, k3e6, k5e3, k5e6
    draw = np.random.default_rng(0)
    formula, exact = (RuntimeModel(us, 19599.9, formula=name) for name in ("paper", "exact"))
    errors = []
    for _ in range(100):
        picked = torch.from_numpy(draw.integers(0, 2, (22, 3))).float()
        picked[:, SKIP_GATE] = 1
        errors.append(abs(float(formula(picked)) / float(exact(picked)) - 1))
    assert np.mean(errors) <= 0.002


# --- training ----------------------------------------------------------------


def test_the_papers_preset_follows_the_released_code() -> None:
    recipe = make_search_recipe("single-path", "paper")
    assert isinstance(recipe, SinglePathRecipe)
    assert (recipe.epochs, recipe.freeze_epochs, recipe.batch) == (8, 5, 1024)
    assert (recipe.optimiser, recipe.weight_rate, recipe.keep) == ("rmsprop", 0.064, 0.6)
    assert (recipe.latency_weight, recipe.label_smoothing, recipe.norm) == (20.0, 0.1, "l2")
    assert recipe.weight_rate_at(2.5) == pytest.approx(0.064 * 0.97)


def test_warm_up_drops_indicators_and_knows_no_latency() -> None:
    method = search_of(freeze_epochs=1, latency_weight=50.0)
    seen: list[torch.Tensor] = []
    method.module.supernet.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    method.start_epoch(0)
    report = method.backward("weights", batch_of())
    assert report.loss == report.cross_entropy
    layers = method.module.supernet.layers
    open_choices = torch.stack([layer.get_buffer("open_choices") for layer in layers])
    used = seen[0].detach()[open_choices]
    on = used[used != 0]
    assert 0 < len(on) < len(used)
    torch.testing.assert_close(on, torch.full_like(on, 1 / 0.6))
    assert bool((seen[0].detach()[~open_choices] == 1).all())
    method.start_epoch(1)
    later = method.backward("weights", batch_of())
    assert later.loss > later.cross_entropy + 100
    assert bool((seen[1].detach() == 1).all())


def test_a_target_raises_the_weight_of_latency_until_the_network_is_fast_enough() -> None:
    target_us = 0.7 * float(costs().cost_of([[3] * len(WIDTHS)])[0])
    method = search_of(target_us, norm="rms", freeze_epochs=0, multiplier_rate=0.1)
    for step in range(60):
        method.start_epoch(0)
        method.module.zero_grad()
        method.backward("weights", batch_of(step))
        method.optimizer("weights").step()
    assert method.progress()["argmax_latency_us"] <= target_us * 1.02
    torch.testing.assert_close(
        method.probabilities().sum(1), torch.ones(len(WIDTHS)).double(), atol=1e-5, rtol=0
    )
