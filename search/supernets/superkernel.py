"""Superkernels: every candidate of a layer as a part of one large block.

Single-Path NAS (arXiv 1904.02877), section 3: the 5x5 kernel holds the 3x3 in
its centre, expansion 6 holds expansion 3 in its first half. Indicators decide
what is used, by comparing norms of weights with trainable thresholds.

Unlike the released code, indicators act after the depthwise batch norm and
activation: on the kernel alone, what is switched off would still emit
relu(bias), and a skipped layer would not be the identity.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search.errors import UsageError
from search.operators.modules import ConvNorm, InvertedResidual, build_operator
from search.operators.spec import OperatorSpec
from search.spaces.base import Layer, SearchSpace
from search.spaces.single_path import are_nested
from search.supernets.batch_norm import batch_norms, freeze_statistics

KERNEL, SKIP_GATE, EXPAND = range(3)
INDICATORS = 3
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "l2": lambda weights: weights.norm(),
    "squared": lambda weights: weights.square().sum(),
    "rms": lambda weights: weights.norm() / math.sqrt(weights.numel()),
}


def straight_through_step(margins: Tensor) -> Tensor:
    """1 where a margin is above 0, else 0; the gradient is the sigmoid's (straight-through)."""
    soft = margins.sigmoid()
    # In this order the sum is exactly 0 or 1.
    return (margins > 0).to(soft) + (soft - soft.detach())


class SuperLayer(nn.Module, ABC):
    """One searched layer as a single block with three indicators.

    Indicators are (kernel, skip gate, expand): use the 5x5, do not skip, use the
    second half of the channels. `thresholds` are their trainable thresholds.

    Attributes:
        norm: What is compared with a threshold.
        open_choices: Which of the three the layer's candidates leave open.
    """

    thresholds: nn.Parameter
    open_choices: Tensor

    def __init__(self, layer: Layer, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm
        self.thresholds = nn.Parameter(torch.zeros(INDICATORS))
        blocks = [choice.operator for choice in layer.choices if not choice.is_skip]
        open_choices = [
            len({block.kernel for block in blocks}) > 1,
            len(blocks) < len(layer.choices),
            len({block.expansion for block in blocks}) > 1,
        ]
        self.register_buffer("open_choices", torch.tensor(open_choices), persistent=False)

    @abstractmethod
    def norms(self) -> Tensor:
        """(3,) norms that decide the indicators."""

    def margins(self) -> Tensor:
        """(3,) norm less threshold; +inf for what the candidates leave no choice about."""
        return (self.norms() - self.thresholds).masked_fill(~self.open_choices, math.inf)

    @abstractmethod
    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """The layer's output under (3,) indicators."""

    @abstractmethod
    def derive(self, choice: int) -> nn.Module:
        """A candidate with a copy of its part of the weights."""


class SuperBlock(SuperLayer):
    """An inverted residual of the largest kernel and expansion."""

    def __init__(self, layer: Layer, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__(layer, norm)
        blocks = [choice.operator for choice in layer.choices if not choice.is_skip]
        spec = max(blocks, key=lambda block: (block.mid_channels, block.kernel))
        _check(blocks, spec)
        self.kernels = (min(block.kernel for block in blocks), spec.kernel)
        self.narrow = min(block.mid_channels for block in blocks)
        block = InvertedResidual(spec)
        self.widen, self.depthwise, self.project = (_conv_norm(part) for part in block.body)
        self.residual = block.residual

    def _parts(self) -> tuple[Tensor, Tensor]:
        """The depthwise kernel's centre, in place, and the ring round it."""
        weight = _conv(self.depthwise).weight
        edge = (self.kernels[1] - self.kernels[0]) // 2
        centre = torch.zeros_like(weight)
        inner = slice(edge, self.kernels[1] - edge)
        centre[..., inner, inner] = weight[..., inner, inner]
        return centre, weight - centre

    def norms(self) -> Tensor:
        """Of the ring, and of both halves of the kernel as its own indicator leaves it."""
        centre, ring = self._parts()
        outer = self.norm(ring)
        used = straight_through_step(
            (outer - self.thresholds[KERNEL]).masked_fill(~self.open_choices[KERNEL], math.inf)
        )
        kernel = centre + used * ring
        first, second = kernel[: self.narrow], kernel[self.narrow :]
        beyond = self.norm(second) if len(second) else outer
        return torch.stack([outer, self.norm(first), beyond])

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """(batch, in, h, w) to (batch, out, h / stride, w / stride)."""
        centre, ring = self._parts()
        conv = _conv(self.depthwise)
        y = nn.functional.conv2d(
            self.widen(x),
            centre + gates[KERNEL] * ring,
            stride=conv.stride,
            padding=tuple(int(edge) for edge in conv.padding),
            groups=conv.groups,
        )
        for module in list(self.depthwise)[1:]:
            y = module(y)
        y = torch.cat([y[:, : self.narrow], gates[EXPAND] * y[:, self.narrow :]], dim=1)
        y = gates[SKIP_GATE] * self.project(y)
        total: Tensor = x + y if self.residual else y
        return total

    @torch.no_grad()
    def derive(self, choice: int) -> nn.Module:
        """A candidate as the kit builds it."""
        spec = self.layer.choices[choice].operator
        block = build_operator(spec)
        if not isinstance(block, InvertedResidual):
            return block
        widen, depthwise, project = block.body
        edge, mid = (self.kernels[1] - spec.kernel) // 2, spec.mid_channels
        inner = slice(edge, self.kernels[1] - edge)
        cuts: tuple[tuple[nn.Module, ConvNorm, Callable[[Tensor], Tensor]], ...] = (
            (widen, self.widen, lambda weight: weight[:mid]),
            (depthwise, self.depthwise, lambda weight: weight[:mid, :, inner, inner]),
            (project, self.project, lambda weight: weight[:, :mid]),
        )
        for part, large, cut in cuts:
            own = _conv_norm(part)
            _conv(own).weight.copy_(cut(_conv(large).weight))
            source = large[1].state_dict()
            for name, tensor in own[1].state_dict().items():
                tensor.copy_(source[name][: len(tensor)] if tensor.dim() else source[name])
        return block


def _conv_norm(module: nn.Module) -> ConvNorm:
    assert isinstance(module, ConvNorm)
    return module


def _conv(module: ConvNorm) -> nn.Conv2d:
    conv = module[0]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _check(blocks: Sequence[OperatorSpec], largest: OperatorSpec) -> None:
    if not are_nested(blocks):
        raise UsageError(
            f"The candidates about {largest.key} are not the parts of one superkernel.",
            "Search a single-path space: measure its table with --space single-path-mini.",
        )


class SuperkernelSupernet(nn.Module):
    """All networks of a space as one network of superkernels.

    In training mode batch norm normalises by the batch and gathers nothing;
    `derive` a network and recalibrate that before judging it.

    Args:
        space: Of layers whose candidates are parts of one block.
        norm: What thresholds are compared with: "l2" (the released code),
            "squared" (the paper) or "rms" (does not grow with the layer).
        build: Operator to module, for the fixed parts.
        layer: Layer to superkernel; for spaces of other operators than ours.

    Raises:
        UsageError: Candidates that are not parts of one block; unknown norm.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        norm: str = "l2",
        build: Callable[[OperatorSpec], nn.Module] = build_operator,
        layer: Callable[[Layer, Callable[[Tensor], Tensor]], SuperLayer] = SuperBlock,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise UsageError(f"Unknown norm {norm!r}.", f"Known: {', '.join(NORMS)}.")
        self.before = nn.Sequential(*(build(operator) for operator in space.before))
        self.layers = nn.ModuleList(layer(each, NORMS[norm]) for each in space.layers)
        self.after = nn.Sequential(*(build(operator) for operator in space.after))
        freeze_statistics(batch_norms([self]))

    def margins(self) -> Tensor:
        """(layers, 3) margins of the indicators."""
        return torch.stack([layer.margins() for layer in self.layers])  # type: ignore[operator]

    def thresholds(self) -> list[nn.Parameter]:
        """The trainable thresholds."""
        return [layer.thresholds for layer in self.layers]  # type: ignore[misc]

    def forward(self, images: Tensor, gates: Tensor) -> Tensor:
        """Images to logits under (layers, 3) indicators."""
        x = self.before(images)
        for layer, row in zip(self.layers, gates, strict=True):
            x = layer(x, row)
        logits: Tensor = self.after(x)
        return logits

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights; child `i` is operator `i`.

        Raises:
            UsageError: Another number of choices, or one that is not legal.
        """
        if len(choices) != len(self.layers):
            raise UsageError(f"{len(choices)} choices for {len(self.layers)} layers.")
        picked = []
        for number, (layer, choice) in enumerate(zip(self.layers, choices, strict=True)):
            assert isinstance(layer, SuperLayer)
            if not 0 <= choice < len(layer.layer.choices):
                raise UsageError(f"Layer {number} has no candidate {choice}.")
            picked.append(layer.derive(choice))
        fixed = [copy.deepcopy(module) for module in (*self.before, *self.after)]
        front, back = fixed[: len(self.before)], fixed[len(self.before) :]
        device = next(self.parameters()).device
        network = nn.Sequential(*front, *picked, *back).to(device)
        for norm in batch_norms([network]):
            norm.track_running_stats = True
        return network.requires_grad_(True)
