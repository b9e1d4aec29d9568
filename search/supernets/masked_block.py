"""One searched block of a masked supernet: all kinds, all widths, one copy of the weights.

FBNetV2 (arXiv 2004.05565), section 3.1. A convolution is made once, at its
largest width; a mask keeps the first channels. Masks act after batch norm and
activation: before them, relu(bias) would leak into channels that are gone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.operators.modules import ConvNorm, InvertedResidual, SqueezeExcite, build_operator
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fbnetv2.variables import MaskedLayer
from search.spaces.frame import squeezed
from search.supernets.masks import channel_mask, leading_ones

SKIP = "skip"


class MaskedBlock(nn.Module):
    """All kinds at full width, mixed, masked, added.

    In a space of free widths input and output have their own. The block adds
    its input where they agree, and a skip is a 1x1 convolution where they do
    not; both are weighed by the probability of that, channel by channel.
    Under one-hot weights every mode equals the derived block.

    Attributes:
        kinds: One module a kind, in the order of the variable's options.
    """

    mid: Tensor
    out: Tensor
    squeezed: Tensor

    def __init__(self, space: MaskedSpace, layer: MaskedLayer) -> None:
        super().__init__()
        self.layer = layer
        mids = _values(space, layer.expansion)
        outs = _values(space, layer.out_width)
        into = max(outs) if layer.shares_width else layer.max_in_channels
        names = [option.name for option in space.layers[layer.block_type].choices]
        self.kinds = nn.ModuleList(
            build_operator(
                space.bridge(layer, into, max(outs))
                if name == SKIP and layer.free_widths
                else space.block(layer, name, into, max(mids), max(outs), space.resolution)
            )
            for name in names
        )
        self.skip = names.index(SKIP) if SKIP in names else None
        for name, ones in (
            ("mid", leading_ones(mids, max(mids))),
            ("out", leading_ones(outs, max(outs))),
            ("squeezed", leading_ones([squeezed(mid) for mid in mids], squeezed(max(mids)))),
        ):
            self.register_buffer(name, ones, persistent=False)
        self.gate = _residual_gate(space, layer, outs)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Input and output are masked to their widths; kinds of weight 0 are not run."""
        total = self._mix(x, weights)
        if self.layer.shares_width:
            # Every kind but a skip adds its input; a skip is the input. Weights sum to 1.
            return x if total is None else x + total
        if self.gate is None:
            assert total is not None
            return total
        kept, changed = self.gate(weights)
        y = self.gate.carry(x, kept)
        if total is not None:
            y = y + total
        skipping = None if self.skip is None else weights[self.layer.block_type, self.skip]
        if skipping is not None and skipping.item() != 0:
            y = y + skipping * self.kinds[self.skip](x) * changed  # type: ignore[index]
        return y

    def _mix(self, x: Tensor, weights: Tensor) -> Tensor | None:
        """The kinds' bodies, mixed and masked; None where only a skip has any weight."""
        mid, squeeze = (
            channel_mask(weights[self.layer.expansion], ones) for ones in (self.mid, self.squeezed)
        )
        row = weights[self.layer.block_type]
        total: Tensor | None = None
        for number, value in enumerate(row.detach().tolist()[: len(self.kinds)]):
            kind = self.kinds[number]
            if value == 0 or not isinstance(kind, InvertedResidual):
                continue
            part = row[number] * _through(kind, x, mid, squeeze)
            total = part if total is None else total + part
        if total is None:
            return None
        return total * channel_mask(weights[self.layer.out_width], self.out)


class ResidualGate(nn.Module):
    """Masks of the residual: where widths in and out agree, by the weights of their options.

    Args:
        in_width: The variable of the input's width; None where it is fixed.
        out_width: The variable of the output's width.
        ins, outs: Their widths.
    """

    same: Tensor
    in_ones: Tensor
    out_ones: Tensor

    def __init__(
        self, in_width: int | None, out_width: int, ins: Sequence[int], outs: Sequence[int]
    ) -> None:
        super().__init__()
        self.in_width, self.out_width = in_width, out_width
        for name, value in (
            ("same", (torch.tensor(ins)[:, None] == torch.tensor(outs)).float()),
            ("in_ones", leading_ones(ins, max(ins))),
            ("out_ones", leading_ones(outs, max(outs))),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of the channels that are added, and of those that a skip convolves.

        Returns:
            For each input channel the probability that the output has the
            input's width, given that the channel is there (the input already
            carries the weight of being there); for each output channel the
            probability that it is there and the widths differ.
        """
        outs = weights[self.out_width, : self.same.shape[1]].to(self.same)
        ins = outs.new_ones(1)
        if self.in_width is not None:
            ins = weights[self.in_width, : self.same.shape[0]].to(self.same)
        joint = ins[:, None] * outs * self.same
        there = ins @ self.in_ones
        kept = joint.sum(1) @ self.in_ones / torch.where(there > 0, there, 1.0)
        changed = (outs * ins.sum() - joint.sum(0)) @ self.out_ones
        return kept[:, None, None], changed[:, None, None]

    def carry(self, x: Tensor, kept: Tensor) -> Tensor:
        """The part of the input that is added to the output, in the output's channels."""
        channels = self.out_ones.shape[1]
        both = min(channels, x.shape[1])
        y = x[:, :both] * kept[:both]
        return nn.functional.pad(y, (0, 0, 0, 0, 0, channels - both))


def _residual_gate(
    space: MaskedSpace, layer: MaskedLayer, outs: Sequence[int]
) -> ResidualGate | None:
    """None where no pair of widths ever adds: at a stride, or across stages that share widths."""
    ins = [layer.max_in_channels] if layer.in_width is None else _values(space, layer.in_width)
    if layer.shares_width or not any(layer.has_residual(into, out) for into in ins for out in outs):
        return None
    return ResidualGate(layer.in_width, layer.out_width, ins, outs)


def _values(space: MaskedSpace, variable: int) -> list[int]:
    return [space.value(variable, option) for option in range(len(space.layers[variable].choices))]


def _through(block: InvertedResidual, x: Tensor, mid: Tensor, squeeze: Tensor) -> Tensor:
    """A block's body with its middle channels masked; without the residual add."""
    parts = list(block.body)
    last = parts.pop()
    gate = parts.pop() if isinstance(parts[-1], SqueezeExcite) else None
    for part in parts:
        assert isinstance(part, ConvNorm)
        x = part(x)
    x = x * mid
    if isinstance(gate, SqueezeExcite):
        low = nn.functional.relu(gate.reduce(x.mean((2, 3), keepdim=True))) * squeeze
        x = x * gate.gate(gate.expand(low))
    y: Tensor = last(x)
    return y


def copy_leading(large: nn.Module, small: nn.Module) -> nn.Module:
    """Fill a narrower module with the leading channels of a wider one of the same kind."""
    source = large.state_dict()
    with torch.no_grad():
        for name, tensor in small.state_dict().items():
            tensor.copy_(source[name][tuple(slice(0, length) for length in tensor.shape)])
    return small
