"""ZiCo: the definition on a case by hand, invariance, and what it refuses."""

import math

import pytest
import torch
from torch import Tensor, nn

from search.algorithms.zero_cost.zico import zico
from search.errors import GateFailed, UsageError
from search.operators.modules import build_network
from search.spaces.registry import make_space
from search.training.compute.seeds import fresh_weights

Batch = tuple[Tensor, Tensor]


def batches(number: int, size: int = 6, side: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randn(size, 3, side, side, generator=generator),
            torch.randint(0, 4, (size,), generator=generator),
        )
        for _ in range(number)
    ]


def network(*names: str) -> nn.Sequential:
    space = make_space("fbnet-mini", resolution=8, width=0.5, classes=4, head_channels=16)
    with fresh_weights(0):
        return build_network(space.architecture(names).operators)


def test_the_score_is_the_logarithm_of_means_over_deviations_summed_layer_by_layer() -> None:
    conv, linear = nn.Conv2d(3, 2, 1), nn.Linear(2, 4)
    model = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    given = batches(3)
    expected = 0.0
    for weight in (conv.weight, linear.weight):
        gradients = []
        for images, labels in given:
            model.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(images), labels))
            assert weight.grad is not None
            gradients.append(weight.grad.abs().double().flatten().tolist())
        total = 0.0
        for values in zip(*gradients, strict=True):
            mean = sum(values) / 3
            total += mean / math.sqrt(sum((value - mean) ** 2 for value in values) / 3)
        expected += math.log(total)
    assert zico(model, given) == pytest.approx(expected, rel=1e-4)


def test_the_weights_and_the_mode_stay_as_they_were() -> None:
    model = network("k3_e1", "k3_e3", "skip", "k5_e3", "k3_e1", "k3_e1").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    zico(model, batches(2))
    assert not model.training
    weights = {name for name, _ in model.named_parameters()}
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in weights)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_more_layers_score_higher_and_equal_seeds_equally() -> None:
    short = network("skip", "k3_e1", "skip", "k3_e1", "skip", "k3_e1")
    long = network("k5_e6", "k5_e6", "k5_e6", "k5_e6", "k5_e6", "k5_e6")
    assert zico(long, batches(2)) > zico(short, batches(2))
    assert zico(short, batches(2)) == zico(short, batches(2))


def test_a_layer_whose_gradients_do_not_vary_counts_nothing() -> None:
    first = nn.Linear(192, 3)
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(3, 4))
    whole = zico(model, batches(2))
    with torch.no_grad():
        first.bias.fill_(-1e6)  # units that never fire
    assert math.isfinite(zico(model, batches(2)))
    assert zico(model, batches(2)) == 0.0 != whole


def test_one_batch_is_refused_and_gradients_that_are_no_numbers_are_told() -> None:
    only = nn.Linear(192, 4)
    model = nn.Sequential(nn.Flatten(), only)
    with pytest.raises(UsageError, match="at least two batches"):
        zico(model, batches(1))
    with torch.no_grad():
        only.weight.fill_(math.nan)
    with pytest.raises(GateFailed, match="not a number"):
        zico(model, batches(2))
