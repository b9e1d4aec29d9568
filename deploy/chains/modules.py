"""Chains as torch modules, with weights under which every copy shows.

Copy i of an operator has the same weights however many copies follow, so that
chains of one operator can share them in one package. Sixteen blocks with fresh
weights in a row forget their input: activations shrink until the output is
what the last biases make it. So each link is scaled to unit variance on the
example (layer-sequential unit-variance initialisation, Mishkin and Matas,
arXiv 1511.06422), a residual branch to half the deviation.
"""

import hashlib

import torch
from torch import Tensor, nn

from deploy.artefact import ExportSpec
from deploy.chains.programs import shape_adapter
from deploy.network import fold_batch_norm, seeded_network
from search.operators.modules import ConvNorm, example_input
from search.operators.spec import OperatorSpec


class ShapeAdapter(nn.Module):
    """1x1 convolution, then each pixel `scale` times to the right and downwards."""

    def __init__(self, convolution: OperatorSpec, scale: int) -> None:
        super().__init__()
        self.shape = convolution.input_shape
        self.conv = ConvNorm(
            convolution.in_channels, convolution.out_channels, 1, groups=convolution.groups
        )
        self.enlarge = nn.Upsample(scale_factor=scale) if scale > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, out, h / s, w / s), or (b, out) after a classifier, to (b, in, h, w)."""
        if x.dim() == 2:
            x = x.reshape(self.shape)
        y: Tensor = self.enlarge(self.conv(x))
        return y


def chain_network(spec: ExportSpec) -> nn.Sequential:
    """The links in eval mode, batch norm folded, distinct weights in every copy."""
    (operator,) = spec.operators
    copies = spec.copies or 1
    modules = [part for i in range(copies) for part in _link(operator, i, spec.part)]
    network = nn.Sequential(*modules).eval()
    fold_batch_norm(network)
    _equalise(network, chain_input(spec), residual=operator.residual)
    return network


def chain_input(spec: ExportSpec) -> Tensor:
    """The example that a chain's program is checked on."""
    (operator,) = spec.operators
    adapter = shape_adapter(operator)
    return example_input((adapter[0] if adapter and spec.part == "restoring" else operator,))


def _link(operator: OperatorSpec, copy: int, part: str) -> list[nn.Module]:
    """One copy: its weights depend on the operator and the copy's number alone."""
    modules: list[nn.Module] = []
    if part != "restoring":
        modules += seeded_network((operator,), _seed(operator, copy)).children()
    adapter = shape_adapter(operator)
    if adapter is not None and part != "operator":
        torch.manual_seed(_seed(adapter[0], copy))
        modules.append(ShapeAdapter(*adapter))
    return modules


def _seed(operator: OperatorSpec, copy: int) -> int:
    digest = hashlib.sha256(f"{operator.key} {copy}".encode()).digest()
    return int.from_bytes(digest[:7])


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
