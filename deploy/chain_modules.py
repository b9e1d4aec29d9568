"""Chains as torch modules, with weights under which every copy shows.

Sixteen blocks with fresh weights in a row forget their input: activations
shrink until the output is what the last biases make it. So each link is scaled
to unit variance on the example (layer-sequential unit-variance initialisation,
Mishkin and Matas, arXiv 1511.06422), a residual branch to half the deviation.
"""

import torch
from torch import Tensor, nn

from deploy.chains import restoring
from deploy.network import fold_batch_norm, seeded_network
from search.blocks import ConvNorm, example_input
from search.operators import OperatorSpec


class Restore(nn.Module):
    """1x1 convolution, then each pixel `scale` times to the right and downwards."""

    def __init__(self, convolution: OperatorSpec, scale: int) -> None:
        super().__init__()
        self.shape = convolution.input_shape
        self.conv = ConvNorm(convolution.in_channels, convolution.out_channels, 1)
        self.enlarge = nn.Upsample(scale_factor=scale) if scale > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, out, h / s, w / s), or (b, out) behind a classifier, to (b, in, h, w)."""
        if x.dim() == 2:
            x = x.reshape(self.shape)
        y: Tensor = self.enlarge(self.conv(x))
        return y


def chain_network(operator: OperatorSpec, copies: int, seed: int = 0) -> nn.Sequential:
    """The chain in eval mode, batch norm folded, distinct weights in every copy."""
    back = restoring(operator)
    links: list[nn.Module] = list(seeded_network((operator,) * copies, seed).children())
    if back is not None:
        restorers = [Restore(*back) for _ in range(copies)]
        links = [part for pair in zip(links, restorers, strict=True) for part in pair]
    network = nn.Sequential(*links).eval()
    fold_batch_norm(network)
    _equalise(network, example_input((operator,)), residual=operator.residual)
    return network


@torch.no_grad()
def _equalise(network: nn.Sequential, x: Tensor, *, residual: bool) -> None:
    for link in network:
        layers = [m for m in link.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        if layers:
            y: Tensor = link(x)
            branch, deviation = (y - x, 0.5) if residual else (y, 1.0)
            scale = deviation / float(branch.std().clamp_min(1e-6))
            layers[-1].weight.mul_(scale)
            assert layers[-1].bias is not None
            layers[-1].bias.mul_(scale)
        x = link(x)
