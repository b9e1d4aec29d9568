"""Results of methods whose distribution is one softmax a layer."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class _Module(Protocol):
    @property
    def logits(self) -> Tensor: ...


class IndependentLayers:
    """Results of a `SearchAlgorithm` from its logits, (layers, widest), -inf where not legal."""

    module: _Module

    def probabilities(self) -> Tensor:
        """(layers, widest) float64 probabilities on the CPU; 0 where not legal."""
        return self.scores().exp()

    def scores(self) -> Tensor:
        """Their logarithms, -inf where not legal: the scores of exact selection."""
        return self.module.logits.detach().cpu().double().log_softmax(1)

    def argmax(self) -> tuple[int, ...]:
        """The most probable candidate of every layer."""
        return tuple(self.scores().argmax(1).tolist())

    def sample(self, number: int, generator: torch.Generator) -> Sequence[tuple[int, ...]]:
        """Networks drawn from the distribution, with repetition."""
        return [
            tuple(row) for row in draw_choices(self.probabilities(), number, generator).tolist()
        ]


def draw_choices(probabilities: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """(number, layers) candidates drawn layer by layer, on the generator's device."""
    rows = probabilities.to(generator.device)
    return torch.multinomial(rows, number, replacement=True, generator=generator).t()


def entropy(probabilities: Tensor) -> Tensor:
    """(layers,) entropies in nats."""
    entropies: Tensor = torch.special.entr(probabilities).sum(1)
    return entropies
