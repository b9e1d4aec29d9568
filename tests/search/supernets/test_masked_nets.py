"""Masked supernets with shared and with free widths: what they mix, add, skip and cost."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search.algorithms.expected_cost import ExpectedFactorCosts
from search.architecture import Architecture, dump_architecture, parse_architecture
from search.latency.space_costs import counted_costs
from search.operators.counts import count
from search.operators.modules import build_network, build_operator
from search.operators.spec import OperatorSpec
from search.selection.exact import network_of
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fbnetv2.variables import MaskedLayer
from search.spaces.registry import make_space, parse_space
from search.supernets.masked import MaskedSupernet
from search.supernets.masked_block import MaskedBlock, copy_leading
from tests.search.supernets.masked import MODES, draw, lived_in, one_hot, space_of, widths_of


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def price(operator: OperatorSpec) -> float:
    return 0.0 if operator.kind == "skip" else 100 + count(operator).flops / 1e3


# --- spaces ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fbnetv2", "fbnetv2-f", "fbnetv2-mini"])
def test_a_free_space_spells_its_mode_and_gives_every_block_a_width(name: str) -> None:
    space, shared = make_space(f"{name}-free"), make_space(name)
    assert isinstance(space, MaskedSpace)
    assert isinstance(shared, MaskedSpace)
    assert space.spec.startswith(f"{name}-free-r")
    assert parse_space(space.spec) == space
    assert space.sha256 != shared.sha256
    assert len({layer.out_width for layer in space.masked_layers}) == len(space.masked_layers)
    assert len({layer.out_width for layer in shared.masked_layers}) == len(shared.macro.stages)


def _pairs(network: Architecture) -> Iterator[tuple[OperatorSpec, bool]]:
    for operator in network.operators[1:-2]:
        out = operator.out_channels or operator.in_channels
        yield operator, operator.stride == 1 and operator.in_channels == out


def test_a_free_network_adds_and_skips_only_between_equal_widths() -> None:
    space, generator = space_of("fbnetv2-mini-free"), random.Random(0)
    kinds = set()
    for _ in range(40):
        network = network_of(space, draw(space, generator), "any")
        for operator, same in _pairs(network):
            assert operator.residual == (same and operator.kind == "ir")
            assert operator.kind != "skip" or same
            if operator.kind == "conv":  # a skip that changes its width
                assert not same
                assert (operator.kernel, operator.activation) == (1, "relu")
            kinds.add((operator.kind, same))
    assert {("ir", True), ("ir", False), ("skip", True), ("conv", False)} <= kinds


def test_a_skip_that_changes_its_width_costs_something() -> None:
    space = space_of("fbnetv2-mini-free")
    layer = next(
        layer for layer in space.masked_layers if "skip" in _kinds(space, layer.block_type)
    )
    names = _kinds(space, layer.block_type)
    choices = [0] * len(space.layers)
    choices[layer.block_type] = names.index("skip")
    assert layer.in_width is not None
    costs = counted_costs(space, "flops")
    equal = float(costs.cost_of([choices])[0])
    choices[layer.out_width] = 1
    changed = network_of(space, choices, "any")
    bridges = [o for o in changed.operators[1:-2] if o.kind == "conv"]
    assert len(bridges) == 1
    assert float(costs.cost_of([choices])[0]) == changed.flops > equal


def _kinds(space: MaskedSpace, variable: int) -> list[str]:
    return [option.name for option in space.layers[variable].choices]


@pytest.mark.parametrize("mode", MODES)
def test_every_option_is_written_as_absolute_channels_and_comes_back_from_its_file(
    mode: str,
) -> None:
    space, generator = space_of(mode, 32), random.Random(3)
    for variable, width in enumerate(widths_of(space)):
        for option in range(width):
            choices = draw(space, generator)
            choices[variable] = option
            names = space.option_names(choices)
            network = space.architecture(names, "any")
            assert parse_architecture(dump_architecture(network)) == network
            assert [_kinds(space, v).index(w) for v, w in enumerate(names)] == choices
            assert network.resolution == space.value(0, choices[0])
            for layer, operator in zip(space.masked_layers, network.operators[1:-2], strict=True):
                out = operator.out_channels or operator.in_channels
                assert out == space.value(layer.out_width, choices[layer.out_width])
                if operator.kind == "ir":
                    mid = space.value(layer.expansion, choices[layer.expansion])
                    assert operator.mid_channels == mid


# --- one-hot: every option equals the derived network ------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_option_of_every_block_equals_the_derived_network_with_copied_weights(
    mode: str,
) -> None:
    space, generator = space_of(mode), random.Random(1)
    supernet = lived_in(MaskedSupernet(space))
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for variable, width in enumerate(widths_of(space)):
        for option in range(width):
            choices = draw(space, generator)
            choices[variable] = option
            derived = supernet.derive(choices).eval()
            with torch.no_grad():
                found, expected = supernet(images, one_hot(space, choices)), derived(images)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            plain = build_network(network_of(space, choices, "plain").operators)
            assert plain.load_state_dict(derived.state_dict()).missing_keys == []


# --- soft: the masked output is the padded sum -------------------------------


def _padded(y: Tensor, channels: int) -> Tensor:
    return nn.functional.pad(y, (0, 0, 0, 0, 0, channels - y.shape[1]))


@pytest.mark.parametrize("mode", MODES)
def test_a_masked_block_is_the_padded_sum_of_the_narrower_blocks_for_every_kind(mode: str) -> None:
    space = space_of(mode)
    generator = torch.Generator().manual_seed(0)
    for layer in space.masked_layers:
        block = MaskedBlock(space, layer)
        lived_in(block)
        outs = [
            space.value(layer.out_width, i)
            for i in range(len(space.layers[layer.out_width].choices))
        ]
        into = max(outs) if layer.shares_width else layer.max_in_channels
        x = torch.randn(2, into, 8, 8, generator=generator)
        weights = torch.zeros(len(space.layers), max(widths_of(space)))
        weights[layer.expansion, 0] = 1
        if layer.in_width is not None and not layer.shares_width:
            weights[layer.in_width, len(space.layers[layer.in_width].choices) - 1] = 1
        shares = torch.rand(len(outs), generator=generator).softmax(0)
        weights[layer.out_width, : len(outs)] = shares
        for number, kind in enumerate(_kinds(space, layer.block_type)):
            weights[layer.block_type] = 0
            weights[layer.block_type, number] = 1
            with torch.no_grad():
                found = block(x, weights)
            expected = x
            if not (kind == "skip" and layer.shares_width):
                parts = [_narrow(space, layer, block.kinds[number], kind, x, out) for out in outs]
                expected = torch.stack(
                    [
                        share * _padded(part, max(outs))
                        for share, part in zip(shares, parts, strict=True)
                    ]
                ).sum(0)
            assert (found - expected).abs().max() <= 1e-5


@torch.no_grad()
def _narrow(
    space: MaskedSpace, layer: MaskedLayer, large: nn.Module, kind: str, x: Tensor, out: int
) -> Tensor:
    """The block of one width with copied weights, on the same input.

    Where in and out are one width the input narrows with the output, which
    the one-hot test covers; here it stays, and all of it is added.
    """
    apart = replace(layer, in_width=None) if layer.shares_width else layer
    spec = space.block(apart, kind, x.shape[1], space.value(layer.expansion, 0), out, 16)
    y: Tensor = copy_leading(large, build_operator(spec)).eval()(x)
    return x + _padded(y, x.shape[1]) if layer.shares_width else y


# --- costs -------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cost", ["latency", "flops", "params"])
def test_an_expected_cost_is_exact_at_one_hot_weights(mode: str, cost: str) -> None:
    space, generator = space_of(mode, 32), random.Random(0)
    costs = space.costs(price, 500.0) if cost == "latency" else counted_costs(space, cost)
    for _ in range(20):
        choices = draw(space, generator)
        network = network_of(space, choices, "any")
        expected = {
            "latency": 500.0 + sum(price(operator) for operator in network.operators),
            "flops": network.flops,
            "params": network.params,
        }[cost]
        assert costs.cost_of([choices])[0] == pytest.approx(expected)
        found = ExpectedFactorCosts(costs)(one_hot(space, choices))  # type: ignore[arg-type]
        assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_an_expected_cost_is_the_mean_over_all_networks_of_some_options(mode: str) -> None:
    """Two options each of a dozen variables are free, 4,096 networks; the others are fixed."""
    space = space_of(mode, 32)
    widths, draws = widths_of(space), np.random.default_rng(0)
    loose = [v for v in draws.permutation(len(widths)).tolist() if widths[v] > 1][:12]
    fixed = draw(space, random.Random(0))
    pairs = {v: draws.choice(widths[v], 2, replace=False).tolist() for v in loose}
    shares = {v: float(draws.uniform(0.1, 0.9)) for v in loose}
    weights = one_hot(space, fixed).double()
    for v, (one, other) in pairs.items():
        weights[v] = 0
        weights[v, one], weights[v, other] = shares[v], 1 - shares[v]
    mean, total, networks = 0.0, 0.0, []
    probabilities = []
    for sides in itertools.product((0, 1), repeat=len(loose)):
        choices = list(fixed)
        share = 1.0
        for v, side in zip(loose, sides, strict=True):
            choices[v] = pairs[v][side]
            share *= shares[v] if side == 0 else 1 - shares[v]
        networks.append(choices)
        probabilities.append(share)
        total += share
    costs = space.costs(price, 500.0)
    mean = float(np.dot(probabilities, costs.cost_of(networks)))
    assert total == pytest.approx(1)
    assert float(ExpectedFactorCosts(costs)(weights)) == pytest.approx(mean, rel=1e-6)
