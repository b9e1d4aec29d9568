"""Optimisers of weights against sequences worked by hand, and what they decay."""

import copy
import math

import pytest
import torch
from torch import nn

from search.training.ingredients.optimizers import (
    TensorFlowRMSprop,
    decay_groups,
    make_optimizer,
)
from tests.search.training.standins import small_network


def moved(
    optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: list[float]
) -> list[float]:
    """The weight after each of these gradients."""
    found = []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        found.append(weight.item())
    return found


def test_rmsprop_follows_tensorflows_sequence_worked_by_hand() -> None:
    weight = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], 0.1, rho=0.9, momentum=0.5, epsilon=0.01)
    # s: 1 -> 0.9 + 0.1 * 4 = 1.3 -> 1.17 + 0.1 * 1 = 1.27 -> 1.143 + 0 = 1.143
    first = 0.1 * 2 / math.sqrt(1.31)
    second = 0.5 * first - 0.1 * 1 / math.sqrt(1.28)
    third = 0.5 * second
    expected = [1 - first, 1 - first - second, 1 - first - second - third]
    assert moved(optimizer, weight, [2.0, -1.0, 0.0]) == pytest.approx(expected, rel=1e-12)


def test_the_rate_of_a_step_stays_in_the_momentum() -> None:
    weight = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], 0.1, rho=0.9, momentum=0.5, epsilon=0.0)
    (after,) = moved(optimizer, weight, [1.0])
    optimizer.param_groups[0]["lr"] = 0.0
    assert moved(optimizer, weight, [1.0]) == pytest.approx([after * 1.5], rel=1e-12)


def test_the_first_steps_do_not_spike_as_torchs_do() -> None:
    ours, torchs = (nn.Parameter(torch.tensor(0.0)) for _ in range(2))
    tensorflow = TensorFlowRMSprop([ours], 0.064, rho=0.9, momentum=0.9, epsilon=1e-3)
    torch_form = torch.optim.RMSprop([torchs], 0.064, alpha=0.9, momentum=0.9, eps=1e-3)
    small = [0.01] * 3
    assert abs(moved(tensorflow, ours, small)[-1]) < 0.01
    assert abs(moved(torch_form, torchs, small)[-1]) > 0.4


def test_decay_is_coupled_and_a_parameter_without_a_gradient_stays() -> None:
    weight, other = (nn.Parameter(torch.tensor(2.0, dtype=torch.float64)) for _ in range(2))
    optimizer = TensorFlowRMSprop([weight, other], 0.1, rho=0.9, epsilon=0.0, weight_decay=0.5)
    assert moved(optimizer, weight, [0.0]) == pytest.approx([2 - 0.1 / 1.0])
    assert other.item() == 2


def test_rmsprop_goes_on_from_its_saved_state() -> None:
    def made() -> tuple[nn.Parameter, TensorFlowRMSprop]:
        weight = nn.Parameter(torch.tensor(1.0))
        return weight, TensorFlowRMSprop([weight], 0.1, momentum=0.9)

    weight, optimizer = made()
    moved(optimizer, weight, [1.0, 2.0])
    state, at = copy.deepcopy(optimizer.state_dict()), weight.item()
    expected = moved(optimizer, weight, [3.0])
    again, resumed = made()
    again.data.fill_(at)
    resumed.load_state_dict(state)
    assert moved(resumed, again, [3.0]) == expected


def test_batch_norm_and_biases_are_spared_and_every_parameter_is_in_one_group() -> None:
    network = small_network()
    decayed, spared = decay_groups(network, 0.1, decay_all=False)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) == 2
    assert len(spared["params"]) == 3
    (everything,) = decay_groups(network, 0.1, decay_all=True)
    assert [id(p) for p in everything["params"]] == [id(p) for p in network.parameters()]
    bias = list(network.parameters())[-1]
    rest = decay_groups(network, 0.1, decay_all=True, without=[bias])
    assert all(p is not bias for group in rest for p in group["params"])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("rmsprop", TensorFlowRMSprop)]
)
def test_a_recipes_word_makes_its_optimiser(name: str, kind: type) -> None:
    groups = decay_groups(small_network(), 0.0, decay_all=True)
    made = make_optimizer(
        name, groups, rate=0.1, momentum=0.9, nesterov=False, rho=0.8, epsilon=1e-3
    )
    assert type(made) is kind
    assert made.param_groups[0]["momentum"] == 0.9


def test_adamw_takes_momentum_and_rho_as_its_betas_and_decays_apart_from_the_gradient() -> None:
    ours, torchs = (nn.Parameter(torch.tensor(1.0, dtype=torch.float64)) for _ in range(2))
    groups = [{"params": [ours], "weight_decay": 0.1}]
    made = make_optimizer(
        "adamw", groups, rate=0.01, momentum=0.8, nesterov=False, rho=0.99, epsilon=1e-8
    )
    plain = torch.optim.AdamW([torchs], 0.01, betas=(0.8, 0.99), eps=1e-8, weight_decay=0.1)
    gradients = [2.0, -1.0, 0.0]
    assert moved(made, ours, gradients) == moved(plain, torchs, gradients)
    # Without a gradient there is only the decay: 1 * (1 - 0.01 * 0.1).
    rested = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    groups = [{"params": [rested], "weight_decay": 0.1}]
    other = make_optimizer(
        "adamw", groups, rate=0.01, momentum=0.8, nesterov=False, rho=0.99, epsilon=1e-8
    )
    assert moved(other, rested, [0.0]) == pytest.approx([0.999], rel=1e-12)
