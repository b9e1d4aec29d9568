"""Accuracy of candidates with inherited weights."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from search.data.base import ImageSet
from search.supernets.batch_norm import recalibrate
from search.training.evaluate import Accuracy, evaluate
from search.training.seeds import generator_for

# Once-for-All (arXiv 1908.09791) estimates batch norm on some 2,000 images.
CALIBRATION_IMAGES = 2000


_BATCH = 250


class Shared(Protocol):
    """Weights that all networks of a space share."""

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights."""
        ...


def inherited_accuracy(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> float:
    """Top-1 of one network with the shared weights on images that trained none.

    Args:
        shared: Trained.
        choices: The network.
        images: Training images.
        learnt: Those that trained the weights; batch norm is estimated on some.
        held: Those to judge on.
    """
    return _inherited(shared, choices, images, learnt, held).top1


def inherited_entropy(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> float:
    """Likewise the mean cross entropy, which tells networks apart on fewer images."""
    return _inherited(shared, choices, images, learnt, held).loss


def _inherited(
    shared: Shared, choices: Sequence[int], images: ImageSet, learnt: Tensor, held: Tensor
) -> Accuracy:
    network = shared.derive(choices)
    device = next(network.parameters()).device
    recalibrate(network, _pixels(images, _some(learnt), device))
    return evaluate(network, images, _BATCH, indices=held)


def _some(learnt: Tensor) -> Tensor:
    """A random part in random order: in folders, neighbours are of one class."""
    order = torch.randperm(len(learnt), generator=generator_for("calibration"))
    return learnt[order[:CALIBRATION_IMAGES]]


def _pixels(images: ImageSet, indices: Tensor, device: torch.device) -> Iterator[Tensor]:
    # Whole batches of one size, so that their plain average is right.
    whole = indices[: len(indices) // _BATCH * _BATCH] if len(indices) >= _BATCH else indices
    for part in whole.split(_BATCH):  # type: ignore[no-untyped-call]
        yield images.batch(part, None)[0].to(device)
