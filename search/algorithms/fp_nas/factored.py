"""A distribution over candidates made of independent variables (FP-NAS, equation 5)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.algorithms.fp_nas.factors import ANY, factorise
from search.spaces.base import SearchSpace


class FactoredLogits(nn.Module):
    """Logits of the variables of every layer, and the candidates' log-probabilities.

    Attributes:
        theta: (variables of all layers, most values) logits; those after
            a variable's last value never move.
    """

    legal: Tensor
    places: Tensor

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        factors = [factorise(layer) for layer in space.layers]
        sizes = torch.tensor([size for layer in factors for size in layer.sizes])
        most = int(sizes.max())
        self.theta = nn.Parameter(torch.zeros(len(sizes), most))
        self.register_buffer("legal", torch.arange(most) < sizes[:, None], persistent=False)
        places = _places([layer.values for layer in factors], most)
        self.register_buffer("places", places, persistent=False)

    def forward(self) -> Tensor:
        """(layers, widest) log-probabilities of the candidates, -inf where there is none."""
        rows = self.theta.masked_fill(~self.legal, -math.inf).log_softmax(1)
        # After the values: 0 for a variable that does not matter, -inf for no candidate.
        flat = torch.cat([rows.reshape(-1), rows.new_tensor([0.0, -math.inf])])
        return flat[self.places].sum(2)


def _places(layers: Sequence[Sequence[Sequence[int]]], most: int) -> Tensor:
    """(layers, widest, most variables) places in the flat values."""
    variables = sum(len(values[0]) for values in layers)
    anything, nothing = variables * most, variables * most + 1
    shape = (
        len(layers),
        max(len(values) for values in layers),
        max(len(values[0]) for values in layers),
    )
    places, first = torch.full(shape, anything), 0
    for number, values in enumerate(layers):
        places[number, len(values) :] = nothing
        for candidate, row in enumerate(values):
            for offset, value in enumerate(row):
                if value != ANY:
                    places[number, candidate, offset] = (first + offset) * most + value
        first += len(values[0])
    return places
