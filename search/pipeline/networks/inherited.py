"""Accuracy of candidates with inherited weights."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from search.data.base import ImageSet
from search.supernets.batch_norm import recalibrate
from search.training.compute.precision import Compute
from search.training.compute.seeds import generator_for
from search.training.evaluate import Accuracy, evaluate

# Once-for-All (arXiv 1908.09791) estimates batch norm on some 2,000 images.
CALIBRATION_IMAGES = 2000
_BATCH = 250


class Shared(Protocol):
    """Weights that all networks of a space share."""

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights."""
        ...


def inherited_accuracy(
    weights: Shared,
    choices: Sequence[int],
    images: ImageSet,
    train_indices: Tensor,
    validation_indices: Tensor,
    *,
    compute: Compute | None = None,
    calibration: int = CALIBRATION_IMAGES,
) -> float:
    """Top-1 of one network with the shared weights on images that trained none.

    Args:
        weights: Trained.
        choices: The network.
        images: Training images.
        train_indices: Those that trained the weights; batch norm is estimated on some.
        validation_indices: Those to judge on.
        compute: Precision and layout; None means float32.
        calibration: How many images batch norm is estimated on.
    """
    settings = compute or Compute()
    return _inherited(
        weights, choices, images, train_indices, validation_indices, settings, calibration
    ).top1


def inherited_entropy(
    weights: Shared,
    choices: Sequence[int],
    images: ImageSet,
    train_indices: Tensor,
    validation_indices: Tensor,
    *,
    compute: Compute | None = None,
    calibration: int = CALIBRATION_IMAGES,
) -> float:
    """Mean cross entropy in place of `inherited_accuracy`; fewer images tell networks apart."""
    settings = compute or Compute()
    return _inherited(
        weights, choices, images, train_indices, validation_indices, settings, calibration
    ).loss


def _inherited(
    weights: Shared,
    choices: Sequence[int],
    images: ImageSet,
    train_indices: Tensor,
    validation_indices: Tensor,
    compute: Compute,
    calibration: int,
) -> Accuracy:
    network = weights.derive(choices)
    device = next(network.parameters()).device
    with compute.autocast(device)():
        recalibrate(network, _pixels(images, _some(train_indices, calibration), device))
    return evaluate(network, images, _BATCH, indices=validation_indices, compute=compute)


def _some(indices: Tensor, number: int) -> Tensor:
    """A random part in random order: in folders, neighbours are of one class."""
    order = torch.randperm(len(indices), generator=generator_for("calibration"))
    return indices[order[:number]]


def _pixels(images: ImageSet, indices: Tensor, device: torch.device) -> Iterator[Tensor]:
    # Whole batches of one size, so that their plain average is right.
    whole = indices[: len(indices) // _BATCH * _BATCH] if len(indices) >= _BATCH else indices
    for part in whole.split(_BATCH):  # type: ignore[no-untyped-call]
        yield images.batch(part, None)[0].to(device)
