"""The planted problem's layers as superkernels: a 1x5 that holds the 1x3."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search.spaces.base import Layer
from search.supernets.superkernel import KERNEL, SuperLayer
from tests.search.algorithms import planted


def _conv(body: nn.Sequential) -> nn.Conv2d:
    conv = body[0]
    assert isinstance(conv, nn.Conv2d)
    return conv


class PlantedSuperLayer(SuperLayer):
    """Convolution, batch norm, ReLU; one indicator, for the outer taps."""

    def __init__(self, layer: Layer, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__(layer, norm)
        self.body = planted.build(layer.choices[-1].operator)

    def norms(self) -> Tensor:
        """Of the outer taps; nothing else is free."""
        weight = _conv(self.body).weight
        outer = self.norm(torch.cat([weight[..., :1], weight[..., -1:]], dim=-1))
        return torch.stack([outer] * 3)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """As the 1x5 or the 1x3 kernel."""
        conv, (_, norm, activation) = _conv(self.body), self.body
        edge, centre = gates[KERNEL].reshape(1), gates.new_ones(3)
        weight = conv.weight * torch.cat([edge, centre, edge])
        y: Tensor = activation(norm(nn.functional.conv2d(x, weight, padding=conv.padding)))
        return y

    def derive(self, choice: int) -> nn.Module:
        """A candidate with a copy of its taps; used by nothing in the planted problem."""
        conv, norm = _conv(self.body), self.body[1]
        block = planted.build(self.layer.choices[choice].operator)
        weight = _conv(block).weight
        edge = (conv.weight.shape[-1] - weight.shape[-1]) // 2
        weight.data.copy_(conv.weight[..., edge : conv.weight.shape[-1] - edge])
        block[1].load_state_dict(norm.state_dict())
        return block
