"""Contract of search methods: training methods that end in networks of a space.

A method owns its modules, its parameters and its loss. The engine owns the
loop: batches, gradient exchange between processes, optimiser steps,
checkpoints, the trace. Training one fixed network is a method too: the one
with a single phase and nothing to choose.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from search.training.protocol import TrainingMethod


class SearchAlgorithm(TrainingMethod, Protocol):
    """A method that ends in networks of a space."""

    def probabilities(self) -> Tensor:
        """(layers, widest) probabilities of the candidates, rows summing to 1, no gradient."""
        ...

    def argmax(self) -> tuple[int, ...]:
        """The most probable candidate of every layer."""
        ...

    def sample(self, number: int, generator: torch.Generator) -> Sequence[tuple[int, ...]]:
        """Networks drawn from the distribution."""
        ...

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its trained weights.

        Its state dict is laid out as that of `search.operators.modules.build_network`;
        batch norm statistics must be estimated before it is judged.
        """
        ...
