"""Resolutions of masked supernets, run apart or scattered as the paper draws it."""

import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from search.spaces.fbnetv2.space import MaskedSpace
from search.supernets.masked import MaskedSupernet
from search.supernets.masked_block import MaskedBlock
from search.supernets.masks import scatter, subsample
from tests.search.supernets.masked import MODES, draw, lived_in, one_hot, soft, space_of


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", MODES)
def test_scattered_resolutions_equal_the_derived_network_where_one_has_all_weight(
    mode: str,
) -> None:
    space, generator = space_of(mode, 32), random.Random(2)
    supernet = lived_in(MaskedSupernet(space, scattered=True))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for resolution in range(len(space.resolutions)):
        choices = draw(space, generator)
        choices[0] = resolution
        derived = supernet.derive(choices).eval()
        with torch.no_grad():
            found, expected = supernet(images, one_hot(space, choices)), derived(images)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scattered_resolutions_are_mixed_operator_by_operator_as_figure_2_draws_it() -> None:
    space = space_of("fbnetv2-mini", 32)
    assert len(space.resolutions) > 1
    weights = soft(space, torch.Generator().manual_seed(3))
    scattered = lived_in(MaskedSupernet(space, scattered=True))
    apart = MaskedSupernet(space)
    apart.load_state_dict(scattered.state_dict())
    lived_in(apart)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = scattered(images, weights)
        expected = _literally(scattered, space, images, weights)
        mixed = apart(images, weights)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - mixed).abs().max() > 1e-3  # another mixture: the two are no one formula


def _literally(net: MaskedSupernet, space: MaskedSpace, images: Tensor, weights: Tensor) -> Tensor:
    """Sample, run, put back and sum, written out; the mean is over pixels that hold values."""
    parts = [net.stem, *net.blocks, net.tail[0]]
    full, x = images.shape[-1], images
    shares = [size / full for size in space.resolutions]
    for number, part in enumerate(parts):
        outputs = []
        for share in shares:
            small = subsample(x, round(share * x.shape[-1]))
            inside = isinstance(part, MaskedBlock)
            outputs.append(part(small, weights) if inside else part(small))
        side = outputs[-1].shape[-1]
        assert number == 0 or side in (x.shape[-1], x.shape[-1] // 2)
        x = sum(
            (weights[0, k] * scatter(y, side) for k, y in enumerate(outputs)),
            start=torch.zeros(()),
        )
    pixels = sum(float(weights[0, k]) * share**2 for k, share in enumerate(shares))
    pooled = x.sum((2, 3)) / (pixels * x.shape[-1] ** 2)
    classifier = net.tail[1]
    assert isinstance(classifier, nn.Sequential)
    logits: Tensor = classifier[-1](pooled)
    return logits


@pytest.mark.parametrize("scattered", [False, True])
def test_gradients_through_several_resolutions_equal_those_without_recomputation(
    scattered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_of("fbnetv2-mini", 32)
    supernet = MaskedSupernet(space, scattered=scattered)
    weights = soft(space, torch.Generator().manual_seed(3)).requires_grad_()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def gradient() -> Tensor:
        (found,) = torch.autograd.grad(supernet(images, weights).square().sum(), weights)
        return found

    recomputed = gradient()
    monkeypatch.setattr(MaskedSupernet, "_runner", lambda self, part, several: part)
    torch.testing.assert_close(recomputed, gradient())
    assert bool((recomputed[0, : len(space.resolutions)] != 0).all())
