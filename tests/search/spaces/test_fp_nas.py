"""FP-NAS's spaces: sizes, operators, costs along the chain, one supernet of all widths."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from search.algorithms.expected_cost import expected_cost_of
from search.algorithms.fp_nas.categorical import (
    CategoricalModule,
    combinations_of,
    shared_weights,
)
from search.algorithms.fp_nas.factored import FactoredLogits
from search.algorithms.fp_nas.factors import factorise
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.algorithms.recipes import make_search_recipe
from search.costs.base import CostTarget, Unit
from search.costs.chain import ChainCosts, Transition
from search.errors import UsageError
from search.operators.counts import count
from search.operators.modules import build_network, build_operator
from search.operators.spec import OperatorSpec
from search.selection.by_costs import select_within
from search.selection.exact import network_of
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.registry import make_space, parse_space
from search.supernets.base import legal_mask
from search.supernets.batch_norm import recalibrate
from search.supernets.sliced import SlicedSupernet


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def space_of(name: str = "fp-nas-mini", **changes: Any) -> SlicedSpace:
    space = make_space(name, **changes)
    assert isinstance(space, SlicedSpace)
    return space


MINI = space_of(resolution=16, classes=4, head_channels=32)
WIDTHS = [len(layer.choices) for layer in MINI.layers]


def flops(operator: OperatorSpec) -> float:
    return count(operator).flops / 1e3


COSTS = MINI.costs(flops, 7.0)


def random_choices(number: int, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, WIDTHS, (number, len(WIDTHS)))


# --- sizes -------------------------------------------------------------------


def test_the_printed_space_has_as_many_networks_as_its_rows_give() -> None:
    space = space_of("fp-nas-f")
    assert space.size.layers == 10
    assert math.log(space.printed_networks) == pytest.approx(56.25, abs=0.01)
    plus = space_of("fp-nas-f++")
    assert plus.printed_networks == 2**10 * space.printed_networks


def test_the_fine_space_chooses_for_each_of_17_blocks() -> None:
    fine, coarse = space_of("fp-nas-f-fine"), space_of("fp-nas-f")
    assert fine.size.layers == 17
    assert fine.printed_networks / coarse.printed_networks > 1e18
    blocks = [part for part in coarse.path([0] * 10)[:-1] for _ in part]
    assert len(blocks) == 17


def test_the_widest_row_has_the_papers_23_logits_for_720_combinations() -> None:
    factors = factorise(space_of("fp-nas-f").layers[-1])
    assert sorted(factors.sizes) == [2, 2, 3, 6, 10]
    assert set(factors.names) == {"kernel", "activation", "squeeze", "expansion", "channels"}
    assert factors.parameters == 23
    assert math.prod(factors.sizes) == 720
    assert sorted(factorise(space_of("fp-nas-f++").layers[-1]).sizes) == [2, 3, 4, 6, 10]


@pytest.mark.parametrize("name", SlicedSpace.presets)
def test_the_kernel_0_is_a_candidate_of_every_layer_and_width(name: str) -> None:
    space = space_of(name)
    for group, layer, times in zip(space.groups, space.layers, space.times, strict=True):
        found = {c.name: n for c, n in zip(layer.choices, times, strict=True) if n > 1}
        macro, expansions = space.macro, len({c.operator.expansion for c in layer.choices[:-1]})
        bypasses = [c.name for c in layer.choices if c.name.startswith("skip_")]
        assert bypasses == [f"skip_c{width}" for width in group.widths]
        assert sum(times) == (len(macro.kernels) + 1) / len(macro.kernels) * times.count(1)
        if len(macro.activations) * len(macro.splits) * expansions > 1:
            assert list(found) == bypasses


def test_a_bypass_is_the_identity_where_shapes_agree_and_else_a_convolution() -> None:
    names = [f"skip_c{group.widths[-1]}" for group in MINI.groups]
    bypasses = MINI.architecture(names).operators[1:-2]
    assert [o.kind for o in bypasses] == ["skip", "conv", "skip", "conv", "skip", "conv"]
    assert [o.stride for o in bypasses] == [1, 2, 1, 2, 1, 2]
    assert {o.activation for o in bypasses if o.kind == "conv"} == {"relu"}


def test_the_middle_channels_are_the_expansion_times_the_width_chosen() -> None:
    space = space_of("fp-nas-f")
    names = ["k3_relu_e1_c16", "k3_relu_e4.5_c16", "k5_relu_e0.75_c16"]
    names += [layer.choices[0].name for layer in space.layers[3:]]
    blocks = [o for o in space.architecture(names).operators if o.kind == "ir"]
    for block in blocks:
        assert block.mid_channels == round(block.expansion * block.in_channels)
    # The second block of a group counts from the width that the first one leaves.
    assert [b.mid_channels for b in blocks[:4]] == [16, 72, 12, 12]


def test_as_many_networks_are_drawn_at_first_as_the_paper_draws() -> None:
    for name, joint in (("fp-nas-f", True), ("fp-nas-f", False), ("fp-nas-f-sa2", True)):
        space = space_of(name)
        module = CategoricalModule.__new__(CategoricalModule)
        torch.nn.Module.__init__(module)
        legal = legal_mask(space)
        times = combinations_of(space, legal)
        module.register_buffer("log_times", times.log())
        start = times.log().masked_fill(~legal, -math.inf) if joint else FactoredLogits(space)()
        nats = module.nats(start.detach().double().softmax(1))
        assert nats == pytest.approx(math.log(space.printed_networks), abs=1e-4)
        recipe = make_search_recipe("fp-nas", "paper")
        assert isinstance(recipe, CategoricalRecipe)
        assert recipe.draws_at(nats) == 14


def test_the_kernel_0_begins_with_its_third_of_the_joint_distribution() -> None:
    torch.manual_seed(0)
    module = CategoricalModule(
        MINI, COSTS, beta=0.0, joint=True, build=build_operator, recompute=False
    )
    shares = module.logits.detach().softmax(1)
    for layer, row in zip(MINI.layers, shares, strict=True):
        bypassed = sum(
            float(share)
            for choice, share in zip(layer.choices, row, strict=False)
            if choice.name.startswith("skip_")
        )
        assert bypassed == pytest.approx(1 / 3, abs=1e-6)
    torch.testing.assert_close(shares, FactoredLogits(MINI)().detach().exp(), atol=1e-6, rtol=0)


LARGEST_128 = {"": 104.4, "_se": 106.1, "_sa2": 123.8, "_sa4": 159.1}


@pytest.mark.parametrize("attention", LARGEST_128)
def test_the_largest_networks_at_128_pixels_count_what_is_documented(attention: str) -> None:
    space = space_of("fp-nas-f++", resolution=128)
    names = [
        [c.name for c in layer.choices if c.name.startswith(f"k5_relu{attention}_e")][-1]
        for layer in space.layers
    ]
    assert space.architecture(names).flops / 1e6 == pytest.approx(LARGEST_128[attention], abs=0.05)


@pytest.mark.parametrize("name", SlicedSpace.presets)
def test_a_spec_rebuilds_its_space(name: str) -> None:
    space = make_space(name, classes=7)
    assert parse_space(space.spec) == space
    assert parse_space(space.spec).sha256 == space.sha256


def test_resolutions_and_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="divisible by 32"):
        make_space("fp-nas-f", resolution=100)
    with pytest.raises(UsageError, match="no width multiplier"):
        make_space("fp-nas-f", width=0.5)


# --- networks ----------------------------------------------------------------


def test_every_network_is_made_of_the_spaces_operators() -> None:
    known = set(MINI.operators)
    for row in random_choices(50).tolist():
        network = network_of(MINI, row, "drawn")
        used = {o for o in network.operators if o.kind != "skip"}
        assert used <= known
        for operator in network.operators:
            if operator.kind == "ir":
                same = operator.in_channels == operator.out_channels
                assert operator.residual == (operator.stride == 1 and same)


def test_every_operator_of_the_space_is_in_some_network() -> None:
    found: set[OperatorSpec] = set()
    for part in MINI._parts():
        found.update(operator for operator in part[-1] if operator.kind != "skip")
    assert found < set(MINI.operators)
    assert {o.splits for o in MINI.operators} == {1, 2}


def test_choices_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="no choices"):
        MINI.path([0] * 3)
    with pytest.raises(UsageError, match="no choices"):
        MINI.path([99] * len(WIDTHS))
    with pytest.raises(UsageError, match="is not a choice of layer group1"):
        MINI.architecture(["k9"] + ["skip"] * 5)


# --- costs -------------------------------------------------------------------


def test_a_price_is_the_sum_of_the_networks_operators() -> None:
    choices = random_choices(60)
    expected = [7 + network_of(MINI, row, "x").flops / 1e3 for row in choices.tolist()]
    np.testing.assert_allclose(COSTS.cost_of(choices), expected, rtol=1e-12)


def tiny() -> ChainCosts:
    """The first choices of three layers, small enough to enumerate."""
    draw = np.random.default_rng(1)
    return ChainCosts(
        fixed=5.0,
        transitions=tuple(
            _transition(draw, inputs, left) for inputs, left in ((1, 2), (2, 3), (3, 2))
        ),
        last=draw.uniform(0, 9, 2),
    )


def _transition(draw: np.random.Generator, inputs: int, left: int) -> Transition:
    return Transition(
        costs=draw.uniform(1, 9, (inputs, 4)), next_state=draw.integers(0, left, (inputs, 4))
    )


def test_the_expected_cost_and_the_cheapest_network_are_those_of_all_networks() -> None:
    costs = tiny()
    every = np.array(list(itertools.product(range(4), repeat=3)))
    prices = costs.cost_of(every)
    assert costs.cheapest() == pytest.approx(prices.min())
    weights = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    shares = weights.numpy()[np.arange(3), every].prod(1)
    latency = expected_cost_of(costs)
    assert float(latency(weights)) == pytest.approx(float(shares @ prices), rel=1e-12)
    one_hot = torch.nn.functional.one_hot(torch.tensor(every[17]), 4)
    assert float(latency(one_hot)) == pytest.approx(prices[17])


def test_the_gradient_of_the_expected_cost_is_that_of_the_enumeration() -> None:
    costs, every = tiny(), torch.tensor(list(itertools.product(range(4), repeat=3)))
    found = torch.zeros(3, 4).double().requires_grad_()
    expected_cost_of(costs)(found.softmax(1)).backward()
    exact = torch.zeros(3, 4).double().requires_grad_()
    shares = exact.softmax(1)[torch.arange(3), every].prod(1)
    (shares * torch.from_numpy(costs.cost_of(every.numpy()))).sum().backward()
    torch.testing.assert_close(found.grad, exact.grad)


def test_a_network_within_a_target_is_found() -> None:
    drawn = np.random.default_rng(0).normal(size=COSTS.legal.shape)
    scores = np.where(COSTS.legal, drawn, -np.inf)
    target_us = 1.2 * COSTS.cheapest()
    found = select_within(COSTS, scores, CostTarget(value=target_us, unit=Unit.US))
    assert COSTS.cost_of([found])[0] <= target_us


# --- one supernet ------------------------------------------------------------


@pytest.fixture(scope="module")
def supernet() -> SlicedSupernet:
    torch.manual_seed(0)
    found = shared_weights(MINI)
    assert isinstance(found, SlicedSupernet)
    return found


def test_a_network_of_the_supernet_equals_the_derived_one(supernet: SlicedSupernet) -> None:
    images = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    skipped = [width - 1 for width in WIDTHS]
    for row in [*random_choices(5).tolist(), skipped]:
        derived = supernet.derive(row).train()
        with torch.no_grad():
            expected = derived(images)
            found = supernet(images, supernet.one_hot(row))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        plain = build_network(network_of(MINI, row, "plain").operators)
        assert plain.load_state_dict(derived.state_dict()).missing_keys == []
        assert recalibrate(derived, [images]) == 6


def test_splits_share_no_weights_and_channels_do(supernet: SlicedSupernet) -> None:
    names = {choice.name: n for n, choice in enumerate(MINI.layers[1].choices)}
    first = [0] * len(WIDTHS)

    def touched(name: str) -> set[str]:
        supernet.zero_grad(set_to_none=True)
        row = [first[0], names[name], *first[2:]]
        supernet(torch.randn(2, 3, 16, 16), supernet.one_hot(row)).sum().backward()
        return {n for n, p in supernet.layers[1].named_parameters() if p.grad is not None}

    narrow, wide = touched("k3_relu_sa2_e2_c16"), touched("k3_relu_sa2_e4_c24")
    assert narrow == wide
    assert not narrow & touched("k3_relu_se_e2_c16")
    assert not narrow & touched("k5_relu_sa2_e2_c16")


def test_only_what_the_network_holds_gets_a_gradient(supernet: SlicedSupernet) -> None:
    names = {choice.name: n for n, choice in enumerate(MINI.layers[1].choices)}
    supernet.zero_grad(set_to_none=True)
    row = [0, names["k3_relu_e2_c16"], *[0] * (len(WIDTHS) - 2)]
    supernet(torch.randn(4, 3, 16, 16), supernet.one_hot(row)).square().sum().backward()
    block = supernet.layers[1]["k3_relu_0"][0]  # type: ignore[index]
    gradient = block.body[0][0].weight.grad
    assert gradient.shape[0] == 64
    assert bool((gradient[:32].abs().sum((1, 2, 3)) > 0).any())
    assert not gradient[32:].any()


def test_mixtures_and_compilation_are_refused(supernet: SlicedSupernet) -> None:
    weights = supernet.one_hot([0] * len(WIDTHS))
    weights[0, :2] = 0.5
    with pytest.raises(UsageError, match="one-hot"):
        supernet(torch.randn(1, 3, 16, 16), weights)
    with pytest.raises(UsageError, match="--compile"):
        supernet.compile()


def test_the_factorised_distribution_of_every_layer_sums_to_one() -> None:
    factored = FactoredLogits(MINI)
    factored.theta.data.normal_(generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(factored().exp().sum(1), torch.ones(len(WIDTHS)))
