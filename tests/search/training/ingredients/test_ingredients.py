"""Averages, what is left out and mixed at random, and the scale of the loss in float16."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from search.errors import GateFailed, UsageError
from search.operators.modules import build_network
from search.spaces.registry import make_space
from search.training.compute.distributed import ProcessGroup
from search.training.compute.loss_scale import GOOD_STEPS, LossScale
from search.training.compute.precision import Compute
from search.training.compute.seeds import generator_for
from search.training.ingredients.average import AveragedNetwork
from search.training.ingredients.regularization import (
    Drawing,
    erase,
    last_linear,
    mix,
    residual_blocks,
)
from search.training.protocol import Batch
from search.training.single_network import SingleNetworkTraining
from search.training.step import StepFlags, take_step
from tests.search.training.standins import Pictures, TinySearch, recipe, run, small_network

SPACE = make_space("fbnet-mini", resolution=16)


def batch_of(images: Pictures, seed: int = 0) -> Batch:
    pixels, labels = images.batch(torch.arange(len(images)), None)
    autocast = Compute(device="cpu").autocast(torch.device("cpu"))
    return Batch(images=pixels, labels=labels, generator=generator_for(seed), autocast=autocast)


# --- average of the weights ----------------------------------------------------------


def test_the_average_follows_tensorflows_sequence_worked_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    averaged = AveragedNetwork(network, 0.25)
    found = []
    for value in (1.0, 2.0):
        network.weight.data.fill_(value)
        averaged.update()
        found.append(next(averaged.average.parameters()).item())
    # min(0.25, 2/11) = 0.1818, then min(0.25, 3/12) = 0.25
    assert found == pytest.approx([9 / 11, 9 / 11 + 0.75 * (2 - 9 / 11)], rel=1e-6)


def test_the_average_is_what_is_judged_and_it_moves_at_every_step() -> None:
    method = SingleNetworkTraining(small_network(), recipe(epochs=3, ema=0.99))
    run(method, images=Pictures(40))
    assert isinstance(method.module, AveragedNetwork)
    assert method.result is method.module.average
    assert int(method.module.updates) == 15
    assert list(method.result.state_dict()) == list(small_network().state_dict())
    pairs = zip(method.result.parameters(), method.module.network.parameters(), strict=True)
    assert all(not torch.equal(mean, value) for mean, value in pairs)
    assert not any(p.requires_grad for p in method.result.parameters())


# --- dropped paths -------------------------------------------------------------------


def test_dropped_paths_leave_blocks_out_keep_the_mean_and_rise_with_depth() -> None:
    network = build_network(SPACE.architecture(["k3_e1"] * 6).operators).eval()
    blocks = residual_blocks(network)
    assert len(blocks) >= 2
    drawing = Drawing()
    drawing.drop_path(blocks, 0.5)
    x = torch.randn(4000, *[blocks[-1].body[0][0].in_channels, 2, 2])  # type: ignore[index,union-attr]
    plain = blocks[-1](x)
    with drawing.drawing_from(generator_for(0)):
        dropped = blocks[-1](x)
    left_out = (dropped == x).flatten(1).all(1)
    assert 0.45 < left_out.float().mean() < 0.55
    torch.testing.assert_close(dropped[~left_out], (x + 2 * (plain - x))[~left_out])
    assert torch.equal(blocks[-1](x), plain)


def test_dropped_paths_without_a_residual_block_are_refused() -> None:
    with pytest.raises(UsageError, match="no block that adds its input"):
        SingleNetworkTraining(small_network(), recipe(drop_path=0.2))


def test_the_last_linear_layer_is_the_classifier() -> None:
    network = build_network(SPACE.architecture(["k3_e1"] * 6).operators)
    classifier = last_linear(network)
    assert classifier is not None
    assert classifier.out_features == 10
    assert last_linear(nn.ReLU()) is None


# --- erased and mixed images -----------------------------------------------------------


def test_a_share_of_images_loses_one_rectangle_of_the_papers_size() -> None:
    images = torch.ones(600, 3, 32, 32)
    erased = erase(images, 0.5, generator_for(0))
    hidden = erased[:, 0] == 0
    hit = hidden.flatten(1).any(1)
    assert 0.43 < hit.float().mean() < 0.57
    areas = hidden[hit].flatten(1).float().mean(1)
    assert 0.01 < areas.min() < areas.max() < 0.45
    for mask in hidden[hit][:50]:
        rows, columns = mask.any(1), mask.any(0)
        assert int(mask.sum()) == int(rows.sum()) * int(columns.sum())
    assert torch.equal(erase(images, 0.0, generator_for(0)), images)


def test_mixed_images_and_labels_share_one_number() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    mixed = mix(images, 1.0, generator_for(1))
    assert 0 < mixed.share < 1
    expected = images * mixed.share + images[mixed.other] * (1 - mixed.share)
    assert torch.equal(mixed.images, expected)
    assert sorted(mixed.other.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("change", [{"mixup": 1.0}, {"erasing": 1.0}])
def test_random_changes_come_from_the_steps_generator_alone(change: dict[str, float]) -> None:
    images = Pictures(16)
    method = SingleNetworkTraining(small_network(norm=False), recipe(dropout=0.0, **change))
    losses = [method.backward("weights", batch_of(images, seed)).loss for seed in (1, 1, 2)]
    plain = SingleNetworkTraining(small_network(norm=False), recipe(dropout=0.0))
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != plain.backward("weights", batch_of(images, 1)).loss


def test_a_mixed_loss_is_the_mean_of_both_labels_losses() -> None:
    images = Pictures(16)
    batch = batch_of(images, 5)
    mixed = mix(batch.images, 1.0, generator_for(5))
    network = small_network(norm=False)
    logits = network(mixed.images)
    losses = [
        nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
        for labels in (batch.labels, batch.labels[mixed.other])
    ]
    method = SingleNetworkTraining(network, recipe(dropout=0.0, mixup=1.0))
    expected = mixed.share * losses[0] + (1 - mixed.share) * losses[1]
    assert method.backward("weights", batch).loss == pytest.approx(expected.item(), rel=1e-5)


# --- float16 ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "make", [TinySearch, lambda: SingleNetworkTraining(small_network(), recipe(epochs=6))]
)
def test_mixed_precision_learns(dtype: str, make: Callable[[], TinySearch]) -> None:
    compute = Compute(device="cpu", threads=1, dtype=dtype)
    if dtype == "float16" and make is TinySearch:
        pytest.skip("the stand-in calls backward itself and knows no scale")
    lines = run(make(), compute=compute)
    assert lines[-2].loss < lines[0].loss


def overflow(step: int, scale: LossScale, method: SingleNetworkTraining) -> bool:
    """Take a step whose gradients are made infinite; whether weights moved."""
    before = [p.detach().clone() for p in method.module.parameters()]
    batch = batch_of(Pictures(8), step)
    hooks = [
        p.register_hook(lambda grad: torch.full_like(grad, torch.inf))
        for p in method.module.parameters()
    ]
    try:
        take_step(
            method,
            "weights",
            batch,
            method.optimizer("weights"),
            processes=ProcessGroup(),
            flags=StepFlags(),
            scale=scale,
        )
    finally:
        for hook in hooks:
            hook.remove()
    return any(
        not torch.equal(one, other)
        for one, other in zip(before, method.module.parameters(), strict=True)
    )


def test_a_step_that_overflows_is_left_out_and_the_scale_is_halved() -> None:
    method = SingleNetworkTraining(small_network(), recipe())
    scale = LossScale(value=4.0, dynamic=True)
    assert not overflow(0, scale, method)
    assert (scale.value, scale.good) == (2.0, 0)
    assert not overflow(1, scale, method)
    with pytest.raises(GateFailed, match="norm of the gradient"):
        overflow(2, scale, method)


def test_without_float16_a_step_that_overflows_ends_the_run() -> None:
    method = SingleNetworkTraining(small_network(), recipe())
    with pytest.raises(GateFailed, match="norm of the gradient"):
        overflow(0, LossScale.of("float32"), method)


def test_the_scale_doubles_after_many_good_steps_and_is_taken_out_again() -> None:
    scale = LossScale.of("float16")
    first = scale.value
    for _ in range(GOOD_STEPS):
        assert scale.survives(True)
    assert scale.value == 2 * first
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), scale.value)
    scale.take_out([weight])
    assert weight.grad.tolist() == [1.0, 1.0]


def test_a_scaled_loss_gives_the_plain_ones_steps() -> None:
    found = []
    for value in (1.0, 1024.0):
        method = SingleNetworkTraining(small_network(), recipe(dropout=0.0))
        take_step(
            method,
            "weights",
            replace(batch_of(Pictures(8)), fraction=0.5),
            method.optimizer("weights"),
            processes=ProcessGroup(),
            flags=StepFlags(),
            scale=LossScale(value=value),
        )
        found.append(method.module[0].weight.detach())  # type: ignore[index]
    torch.testing.assert_close(found[0], found[1])


def test_a_float16_run_goes_on_with_its_scale(tmp_path: Path) -> None:
    from search.training.run.checkpoint import parse_checkpoint

    compute = Compute(device="cpu", threads=1, dtype="float16")
    run(SingleNetworkTraining(small_network(), recipe(epochs=2)), tmp_path, compute=compute)
    kept = parse_checkpoint((tmp_path / "last.pt").read_bytes())
    assert kept.loss_scale > 1
    assert kept.good_steps > 0
