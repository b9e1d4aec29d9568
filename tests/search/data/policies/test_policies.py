"""Augmentation policies: what they do to pixels, and where their numbers come from."""

import numpy as np
import pytest
import torch
from PIL import Image

from search.data.base import PixelScaling
from search.data.open import open_data
from search.data.policies.autoaugment import CIFAR10, IMAGENET
from search.data.policies.images import PolicyImages
from search.data.policies.operations import OPERATIONS, SIGNED, apply
from search.data.policies.policy import RANDOM, AutoAugment, Change, RandAugment, make_policy
from search.errors import UsageError

FILL = (124, 116, 104)
NAMES = ("randaugment", "autoaugment", "autoaugment-cifar")


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(30, 220, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0, -1.0])
def test_every_operation_keeps_size_and_form(name: str, amount: float) -> None:
    if amount < 0 and name not in SIGNED:
        return
    changed = apply(name, picture(), amount, FILL)
    assert (changed.size, changed.mode) == ((16, 16), "RGB")


@pytest.mark.parametrize("name", SIGNED)
def test_an_amount_of_zero_changes_nothing_and_one_changes_much(name: str) -> None:
    plain = np.asarray(picture())
    assert np.array_equal(np.asarray(apply(name, picture(), 0.0, FILL)), plain)
    there, back = (np.asarray(apply(name, picture(), a, FILL)) for a in (1.0, -1.0))
    assert not np.array_equal(there, plain)
    assert not np.array_equal(there, back)


def test_pixels_that_come_in_from_outside_have_the_colour_of_the_mean() -> None:
    moved = np.asarray(apply("translate-x", picture(), 1.0, FILL))
    assert (moved[:, -5:] == FILL).all()


def test_solarize_and_posterize_as_the_paper_counts_them() -> None:
    plain = np.asarray(picture())
    half = np.asarray(apply("solarize", picture(), 0.5, FILL))
    assert np.array_equal(half, np.where(plain < 128, plain, 255 - plain))
    fewest = np.asarray(apply("posterize", picture(), 1.0, FILL))
    assert np.array_equal(fewest, plain & 0xF0)


def test_the_learnt_policies_are_whole_and_name_known_operations() -> None:
    for policy in (IMAGENET, CIFAR10):
        assert len(policy) == 25
        for name, chance, level in (part for pair in policy for part in pair):
            assert name in OPERATIONS
            assert 0 <= chance <= 1
            assert 0 <= level <= 9
    assert IMAGENET[0] == (("posterize", 0.4, 8), ("rotate", 0.6, 9))
    assert set(RANDOM) <= set(OPERATIONS)
    assert len(RANDOM) == 14


def test_randaugment_takes_so_many_operations_of_one_magnitude() -> None:
    policy = RandAugment(operations=3, magnitude=0.5)
    changes = list(policy.changes([0.0, 0.9, 0.25, 0.1, 0.999, 0.9]))
    assert changes == [Change("identity", 0.5), Change("rotate", -0.5), Change("translate-y", 0.5)]


def test_autoaugment_takes_one_pair_with_its_chances() -> None:
    policy = AutoAugment(pairs=IMAGENET)
    assert list(policy.changes([0.0, 0.39, 0.9, 0.61, 0.9])) == [Change("posterize", 8 / 9)]
    assert list(policy.changes([0.0, 0.41, 0.9, 0.59, 0.1])) == [Change("rotate", -1.0)]


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_depends_on_its_generator_and_tests_are_left_alone(name: str) -> None:
    data = open_data("digits", resolution=16, limit=30)
    images = PolicyImages(data.train, data.normalisation, make_policy(name, 2, 0.9))
    indices = torch.arange(20)

    def drawn(seed: int) -> torch.Tensor:
        return images.batch(indices, torch.Generator().manual_seed(seed))[0]

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    plain, labels = data.train.batch(indices, None)
    found, same = images.batch(indices, None)
    assert torch.equal(found, plain)
    assert torch.equal(labels, same)
    shifted, _ = data.train.batch(indices, torch.Generator().manual_seed(1))
    assert not torch.equal(drawn(1), shifted)
    assert drawn(1).shape == plain.shape


def test_pixels_survive_the_way_to_bytes_and_back() -> None:
    scaling = PixelScaling(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    data = open_data("digits", resolution=16, limit=30)
    images = PolicyImages(data.train, scaling, make_policy("randaugment", 1, 0.0))
    assert torch.equal(images._bytes(scaling.apply(every)), every)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="Known: randaugment"):
        make_policy("magic", 2, 0.3)
