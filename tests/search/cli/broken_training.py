"""Trainings that go wrong: weights that are not numbers."""

from typing import Any

import pytest
import torch
from torch import nn

import search.algorithms.baselines.trials
from search.training.engine import train


def spoil(module: nn.Module) -> None:
    """Make every parameter NaN."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(float("nan"))


def spoil_trials(patch: pytest.MonkeyPatch, numbers: set[int]) -> None:
    """Let the trainings of these trials, counted from 1, begin with broken weights."""
    begun: list[Any] = []

    def spoiled(algorithm, *args, **options):  # type: ignore[no-untyped-def]
        begun.append(algorithm)
        if len(begun) in numbers:
            spoil(algorithm.module)
        return train(algorithm, *args, **options)

    patch.setattr(search.algorithms.baselines.trials, "train", spoiled)
