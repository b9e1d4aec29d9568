"""Trainings that go wrong: weights that are not numbers."""

from typing import Any

import pytest
import torch
from torch import nn

from search.training.engine import train
from search.training.single_network import SingleNetworkTraining


def spoil(module: nn.Module) -> None:
    """Make every parameter NaN."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(float("nan"))


def spoil_trials(patch: pytest.MonkeyPatch, numbers: set[int]) -> None:
    """Let the trainings of these trials, counted from 1, begin with broken weights."""
    begun: list[SingleNetworkTraining] = []

    def spoiled(algorithm: SingleNetworkTraining, *arguments: Any, **options: Any) -> Any:
        begun.append(algorithm)
        if len(begun) in numbers:
            spoil(algorithm.module)
        return train(algorithm, *arguments, **options)

    patch.setattr("search.algorithms.baselines.trials.train", spoiled)
