"""The supernet: mixtures, single networks, and the networks derived from it."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search.errors import UsageError
from search.operators.modules import build_network
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space
from search.supernets.base import legal_mask
from search.supernets.batch_norm import batch_norms, recalibrate
from search.supernets.mixture import MixedLayer, MixtureSupernet

MINI = make_space("fbnet-mini", resolution=16, width=0.5, head_channels=16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(number: int, space: LayeredSpace, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = space.before[0].height
    return torch.randn(number, 3, size, size, generator=generator)


def soft(space: LayeredSpace, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    legal = legal_mask(space)
    noise = torch.randn(legal.shape, generator=generator)
    return noise.masked_fill(~legal, -torch.inf).softmax(1)


def supernet_of(space: LayeredSpace, *, recompute: bool = False) -> MixtureSupernet:
    torch.manual_seed(0)
    return MixtureSupernet(space, recompute=recompute)


def mixed_layers(supernet: MixtureSupernet) -> list[MixedLayer]:
    layers = [layer for layer in supernet.layers if isinstance(layer, MixedLayer)]
    assert len(layers) == len(supernet.layers)
    return layers


def with_statistics(supernet: MixtureSupernet) -> MixtureSupernet:
    """Batch norms as after training: no parameter or statistic is 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    for norm in batch_norms([supernet]):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator))
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.5)
    return supernet.eval()


def networks_covering(space: LayeredSpace) -> list[tuple[int, ...]]:
    """Networks among which every candidate of every layer occurs."""
    widths = [len(layer.choices) for layer in space.layers]
    return [
        tuple((shift + 2 * layer) % width for layer, width in enumerate(widths))
        for shift in range(max(widths))
    ]


@pytest.mark.parametrize(
    "space",
    [make_space("fbnet-mini"), make_space("fbnet", resolution=32, width=0.25, head_channels=32)],
    ids=["fbnet-mini", "22 layers"],
)
def test_a_derived_network_equals_the_one_hot_supernet_for_every_candidate(
    space: LayeredSpace,
) -> None:
    supernet, batch = with_statistics(supernet_of(space)), images(2, space)
    chosen = networks_covering(space)
    covered = [{choices[layer] for choices in chosen} for layer in range(len(space.layers))]
    assert [len(found) for found in covered] == [len(layer.choices) for layer in space.layers]
    with torch.no_grad():
        for choices in chosen:
            expected = supernet(batch, supernet.one_hot(choices))
            difference = supernet.derive(choices)(batch) - expected
            assert difference.abs().max() <= 1e-4 * expected.abs().max()


def test_a_derived_network_loads_into_the_network_that_is_timed_and_shipped() -> None:
    supernet, wanted = with_statistics(supernet_of(MINI)), (1, 8, 7, 2, 5, 0)
    choices = tuple(min(c, w - 1) for c, w in zip(wanted, supernet.widths, strict=True))
    names = [layer.choices[c].name for layer, c in zip(MINI.layers, choices, strict=True)]
    network = build_network(MINI.architecture(names).operators).eval()
    derived = supernet.derive(choices)
    network.load_state_dict(derived.state_dict())
    batch = images(2, MINI)
    torch.testing.assert_close(network(batch), derived(batch))


def test_a_derived_network_trains_as_any_other_and_leaves_the_supernet_alone() -> None:
    supernet = supernet_of(MINI)
    supernet.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    network = supernet.derive((0,) * len(MINI.layers))
    network(images(4, MINI)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(norm.num_batches_tracked == 1 for norm in batch_norms([network]))
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert all(torch.equal(before[name], now) for name, now in supernet.state_dict().items())


def naive(supernet: MixtureSupernet, batch: Tensor, weights: Tensor) -> Tensor:
    """Equation 5 as it is printed."""
    x = supernet.before(batch)
    for layer, row in zip(mixed_layers(supernet), weights, strict=True):
        x = torch.stack([m * b(x) for m, b in zip(row, layer, strict=False)]).sum(0)
    return supernet.after(x)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_mixture_and_gradients_are_those_of_equation_5(checkpoint: bool) -> None:
    supernet, batch = supernet_of(MINI, recompute=checkpoint).double(), images(4, MINI).double()
    plain = supernet_of(MINI).double()
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    mine, theirs = soft(MINI).double().requires_grad_(), soft(MINI).double().requires_grad_()
    found, expected = supernet(batch, mine), naive(plain, batch, theirs)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    for one, other in zip(supernet.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_training_and_recomputation_leave_statistics_and_random_numbers_alone() -> None:
    supernet = supernet_of(MINI, recompute=True)
    before = {name: tensor.clone() for name, tensor in supernet.named_buffers()}
    state = torch.random.get_rng_state()
    supernet(images(4, MINI), soft(MINI)).sum().backward()
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], now) for name, now in supernet.named_buffers())


def test_a_one_hot_row_evaluates_only_its_candidate() -> None:
    supernet, evaluated = supernet_of(MINI), []
    for number, layer in enumerate(mixed_layers(supernet)):
        for index, candidate in enumerate(layer):
            candidate.register_forward_hook(lambda *_, at=(number, index): evaluated.append(at))
    choices = networks_covering(MINI)[3]
    supernet(images(2, MINI), supernet.one_hot(choices))
    assert evaluated == list(enumerate(choices))


def test_weights_of_zero_cost_nothing_and_change_nothing() -> None:
    supernet, batch, weights = supernet_of(MINI), images(4, MINI), soft(MINI)
    weights = torch.where(weights < 0.1, 0.0, weights)
    torch.testing.assert_close(supernet(batch, weights), naive(supernet, batch, weights))


def test_weights_behind_the_last_candidate_are_ignored() -> None:
    supernet, batch, weights = supernet_of(MINI), images(4, MINI), soft(MINI)
    expected = supernet(batch, weights)
    torch.testing.assert_close(
        supernet(batch, weights.masked_fill(~legal_mask(MINI), 7.0)), expected
    )


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_temperature_towards_zero_gives_the_discrete_network(data: st.DataObject) -> None:
    supernet, batch = supernet_of(MINI), images(4, MINI)
    choices = tuple(data.draw(st.integers(0, width - 1)) for width in supernet.widths)
    logits = supernet.one_hot(choices).masked_fill(~legal_mask(MINI), -torch.inf)
    with torch.no_grad():
        discrete = supernet(batch, supernet.one_hot(choices))
        cold = supernet(batch, (logits / 0.04).softmax(1))
    assert (cold - discrete).abs().max() <= 1e-5 * max(1.0, float(discrete.abs().max()))


def test_recalibration_gives_the_averages_of_the_batches_to_the_chosen_network_only() -> None:
    supernet, choices = supernet_of(MINI), (0,) * len(MINI.layers)
    batches = [images(8, MINI, seed) for seed in range(3)]
    assert supernet.recalibrate(choices, batches) == 24
    block = supernet.before[0]
    assert isinstance(block, nn.Sequential)
    stem, norm = block[0], block[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        means = [stem(batch).mean((0, 2, 3)) for batch in batches]
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    others = batch_norms(candidate for layer in mixed_layers(supernet) for candidate in layer[1:])
    assert all(int(other.num_batches_tracked) == 0 for other in others)
    assert not norm.track_running_stats
    assert norm.momentum == 0.1
    assert supernet.training


def test_recalibrating_a_derived_network_equals_recalibrating_it_in_the_supernet() -> None:
    supernet, choices = supernet_of(MINI), networks_covering(MINI)[2]
    batches = [images(8, MINI, seed) for seed in range(2)]
    network = supernet.derive(choices)
    recalibrate(network, batches)
    supernet.recalibrate(choices, batches)
    supernet.eval()
    assert network.training
    network.eval()
    batch = images(4, MINI, 9)
    torch.testing.assert_close(network(batch), supernet(batch, supernet.one_hot(choices)))


def test_statistics_of_no_images_are_refused() -> None:
    supernet = supernet_of(MINI)
    with pytest.raises(UsageError, match="no images"):
        supernet.recalibrate((0,) * len(MINI.layers), [])
    with pytest.raises(UsageError, match="no images"):
        recalibrate(supernet.derive((0,) * len(MINI.layers)), [])


def test_wrong_weights_and_choices_are_refused() -> None:
    supernet, batch = supernet_of(MINI), images(2, MINI)
    with pytest.raises(UsageError, match="do not fit"):
        supernet(batch, soft(MINI)[:, :-1])
    with pytest.raises(UsageError, match="weight 0"):
        supernet(batch, torch.zeros_like(soft(MINI)))
    with pytest.raises(UsageError, match="2 choices for 6 layers"):
        supernet.derive((0, 0))
    with pytest.raises(UsageError, match="Layer 0 has no candidate 9"):
        supernet.one_hot((9, 0, 0, 0, 0, 0))
    with pytest.raises(UsageError, match="Layer 0 has no candidate -1"):
        supernet.derive((-1, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("gradient", [False, True], ids=["weights step", "theta step"])
def test_bfloat16_and_channels_last_stay_near_the_plain_result(gradient: bool) -> None:
    supernet, batch = supernet_of(MINI), images(8, MINI)
    weights = soft(MINI).requires_grad_(gradient)
    expected = supernet(batch, weights)
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = batch.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(supernet(batch, weights), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        found = supernet(batch, weights)
    found.float().square().sum().backward()
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.thorough
def test_compiling_compiles_each_searched_layer_and_keeps_the_state_dict() -> None:
    space = make_space("fbnet", resolution=32, width=0.25, head_channels=8)
    supernet, batch, weights = supernet_of(space), images(2, space), soft(space)
    expected, names = supernet(batch, weights), list(supernet.state_dict())
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    supernet.compile(backend=backend)
    torch.testing.assert_close(supernet(batch, weights), expected)
    # 22 layers, each whole; those of equal shapes share a graph.
    assert 8 < len(graphs) <= 22
    assert list(supernet.state_dict()) == names


def test_the_full_space_has_192_candidates_and_4_86e20_networks() -> None:
    space = make_space("fbnet")
    assert int(legal_mask(space).sum()) == space.size.candidates == 192
    assert space.size.networks == 9**16 * 8**6
    assert f"{space.size.networks:.2e}" == "4.86e+20"
