"""Accuracies at chance level: nothing was learnt, and numbers that rest on them mean nothing."""

import torch
from torch import Tensor

from search.training.evaluate import Accuracy, wilson_interval


def chance_level(labels: Tensor) -> float:
    """The accuracy of always naming the most frequent class of these (N,) labels."""
    return float(torch.bincount(labels).max()) / max(len(labels), 1)


def is_at_chance(top1: float, images: int, chance: float) -> bool:
    """True where an accuracy on so many images is not above chance, at 95 %."""
    return wilson_interval(top1, images)[0] <= chance


def chance_warning(accuracy: Accuracy, labels: Tensor) -> str:
    """A sentence where a trained network does not beat chance; else empty."""
    chance = chance_level(labels)
    if not is_at_chance(accuracy.top1, accuracy.images, chance):
        return ""
    return (
        f"Warning: top-1 {accuracy.top1:.2%} is at chance level ({chance:.2%}): the "
        "network has learnt nothing. Train for more epochs, or with another --learning-rate."
    )
