"""One searched block of a masked supernet: all kinds, all widths, one copy of the weights.

FBNetV2 (arXiv 2004.05565), section 3.1. A convolution is made once, at its
largest width; a mask keeps the first channels. Masks act behind batch norm and
activation: before it, relu(bias) would leak into channels that are gone.
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

    In a free space input and output have widths of their own. The block adds
    its input where they agree, and a skip is a 1x1 convolution where they do
    not; both are weighed by the probability of that, channel by channel.
    Under one-hot weights every mode equals the derived block.

    Attributes:
        kinds: One module a kind, in the order of the variable's options.
    """

    mid: Tensor
    out: Tensor
    squeezed: Tensor

    def __init__(self, space: MaskedSpace, slot: MaskedLayer) -> None:
        super().__init__()
        self.slot = slot
        mids = _values(space, slot.expansion)
        outs = _values(space, slot.out)
        into = max(outs) if slot.joined else slot.most_in
        names = [option.name for option in space.layers[slot.kind].choices]
        self.kinds = nn.ModuleList(
            build_operator(
                space.bridge(slot, into, max(outs))
                if name == SKIP and slot.free
                else space.block(slot, name, into, max(mids), max(outs), space.resolution)
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
        self.meeting = _meeting(space, slot, outs)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Input and output are masked to their widths; kinds of weight 0 are not run."""
        total = self._mix(x, weights)
        if self.slot.joined:
            # Every kind but a skip adds its input; a skip is the input. Weights sum to 1.
            return x if total is None else x + total
        if self.meeting is None:
            assert total is not None
            return total
        kept, changed = self.meeting(weights)
        y = self.meeting.carry(x, kept)
        if total is not None:
            y = y + total
        skipping = None if self.skip is None else weights[self.slot.kind, self.skip]
        if skipping is not None and skipping.item() != 0:
            y = y + skipping * self.kinds[self.skip](x) * changed  # type: ignore[index]
        return y

    def _mix(self, x: Tensor, weights: Tensor) -> Tensor | None:
        """The kinds' bodies, mixed and masked; None where only a skip has any weight."""
        mid, squeeze = (
            channel_mask(weights[self.slot.expansion], ones) for ones in (self.mid, self.squeezed)
        )
        row = weights[self.slot.kind]
        total: Tensor | None = None
        for number, value in enumerate(row.detach().tolist()[: len(self.kinds)]):
            kind = self.kinds[number]
            if value == 0 or not isinstance(kind, InvertedResidual):
                continue
            part = row[number] * _through(kind, x, mid, squeeze)
            total = part if total is None else total + part
        if total is None:
            return None
        return total * channel_mask(weights[self.slot.out], self.out)


class ResidualGate(nn.Module):
    """Where the widths of input and output agree, under weights of their options.

    Args:
        into: The variable of the input's width; None where it is fixed.
        out: The variable of the output's width.
        ins, outs: Their widths.
    """

    same: Tensor
    in_ones: Tensor
    out_ones: Tensor

    def __init__(self, into: int | None, out: int, ins: Sequence[int], outs: Sequence[int]) -> None:
        super().__init__()
        self.into, self.out = into, out
        for name, value in (
            ("same", (torch.tensor(ins)[:, None] == torch.tensor(outs)).float()),
            ("in_ones", leading_ones(ins, max(ins))),
            ("out_ones", leading_ones(outs, max(outs))),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of what is added and of what a skip convolves.

        Returns:
            For each input channel the probability that the output has the
            input's width, given that the channel is there (the input already
            carries the weight of being there); for each output channel the
            probability that it is there and the widths differ.
        """
        outs = weights[self.out, : self.same.shape[1]].to(self.same)
        ins = outs.new_ones(1)
        if self.into is not None:
            ins = weights[self.into, : self.same.shape[0]].to(self.same)
        joint = ins[:, None] * outs * self.same
        there = ins @ self.in_ones
        kept = joint.sum(1) @ self.in_ones / torch.where(there > 0, there, 1.0)
        changed = (outs * ins.sum() - joint.sum(0)) @ self.out_ones
        return kept[:, None, None], changed[:, None, None]

    def carry(self, x: Tensor, kept: Tensor) -> Tensor:
        """What of the input is added to the output, in the output's channels."""
        channels = self.out_ones.shape[1]
        both = min(channels, x.shape[1])
        y = x[:, :both] * kept[:both]
        return nn.functional.pad(y, (0, 0, 0, 0, 0, channels - both))


def _meeting(space: MaskedSpace, slot: MaskedLayer, outs: Sequence[int]) -> ResidualGate | None:
    """None where no pair of widths ever adds: at a stride, or across stages that share widths."""
    ins = [slot.most_in] if slot.into is None else _values(space, slot.into)
    if slot.joined or not any(slot.adds(into, out) for into in ins for out in outs):
        return None
    return ResidualGate(slot.into, slot.out, ins, outs)


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
