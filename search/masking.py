"""Channel masks and resolution sampling: many widths and sizes in one network.

FBNetV2 (arXiv 2004.05565), section 3. A convolution is made once, at its
largest width; a mask keeps the first channels. A smaller input is every k-th
pixel of the largest. Masks act behind batch norm and activation: before it,
relu(bias) would leak into channels that are gone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from search.blocks import ConvNorm, InvertedResidual, SqueezeExcite, build_operator
from search.errors import UsageError
from search.normalisation import batch_norms, stop_tracking
from search.spaces.fbnetv2 import MaskedSpace, squeezed
from search.spaces.fbnetv2_variables import Slot
from search.spaces.terms import TermCosts


def leading_ones(widths: Sequence[int], channels: int) -> Tensor:
    """(options, channels): row i keeps the first widths[i] channels (equation 2)."""
    return (torch.arange(channels) < torch.tensor(widths)[:, None]).float()


def channel_mask(weights: Tensor, ones: Tensor) -> Tensor:
    """M = sum_i g_i 1_i (equation 3) for (batch, channels, height, width)."""
    return (weights[: len(ones)].to(ones) @ ones)[:, None, None]


def subsample(images: Tensor, size: int) -> Tensor:
    """The pixels floor(i / r) of square images, r = size / full: nearest neighbour, fixed."""
    at = sampled_pixels(images.shape[-1], size, images.device)
    return images[..., at, :][..., at]


def scatter(maps: Tensor, size: int) -> Tensor:
    """Put values back on the pixels that they came from, in maps of zeros of the full size."""
    at = sampled_pixels(size, maps.shape[-1], maps.device)
    full = maps.new_zeros(*maps.shape[:-2], size, size)
    full[..., at[:, None], at] = maps
    return full


def sampled_pixels(full: int, size: int, device: torch.device) -> Tensor:
    """(size,) indices of the pixels that a smaller input keeps."""
    if not 1 <= size <= full:
        raise UsageError(f"An input of {size} px cannot be sampled from one of {full} px.")
    return torch.arange(size, device=device) * full // size


class TermLatency(nn.Module):
    """Expected cost under weights of the options, (variables, widest) to a float64 scalar.

    Multilinear: exact for one-hot weights, and the mean for independent
    distributions. Not in the state dict.
    """

    def __init__(self, costs: TermCosts) -> None:
        super().__init__()
        self.fixed_us = costs.fixed_us
        self.variables = [term.variables for term in costs.terms]
        self.shapes = [term.values.shape for term in costs.terms]
        for number, term in enumerate(costs.terms):
            # Flat: a module moved to channels-last refuses tensors of five dimensions.
            flat = torch.from_numpy(term.values.ravel())
            self.register_buffer(f"term{number}", flat, persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Sum over the terms of their values weighted by the product of their variables'."""
        total: Tensor = weights.new_tensor(self.fixed_us, dtype=torch.float64)
        for number, variables in enumerate(self.variables):
            value: Tensor = getattr(self, f"term{number}").reshape(self.shapes[number])
            for variable in variables:  # contracts the first axis that is left
                row = weights[variable, : value.shape[0]].double()
                value = torch.tensordot(row, value, dims=1)
            total = total + value
        return total


class MaskedBlock(nn.Module):
    """One searched block: all kinds at full width, mixed, masked, added."""

    mid: Tensor
    out: Tensor
    squeezed: Tensor

    def __init__(self, space: MaskedSpace, slot: Slot) -> None:
        super().__init__()
        self.slot = slot
        mids = [space.value(slot.expansion, i) for i in _options(space, slot.expansion)]
        outs = [space.value(slot.out, i) for i in _options(space, slot.out)]
        into = max(outs) if slot.residual else slot.most_in
        names = [option.name for option in space.layers[slot.kind].choices]
        self.kinds = nn.ModuleList(
            build_operator(space.block(slot, name, into, max(mids), max(outs), space.resolution))
            for name in names
        )
        for name, ones in (
            ("mid", leading_ones(mids, max(mids))),
            ("out", leading_ones(outs, max(outs))),
            ("squeezed", leading_ones([squeezed(mid) for mid in mids], squeezed(max(mids)))),
        ):
            self.register_buffer(name, ones, persistent=False)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Input and output are masked to their widths; kinds of weight 0 are not run."""
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
            return x
        mask = channel_mask(weights[self.slot.out], self.out)
        total = total * mask
        # Every kind but a skip adds its input; a skip is the input. Weights sum to 1.
        return x + total if self.slot.residual else total


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


def _options(space: MaskedSpace, variable: int) -> range:
    return range(len(space.layers[variable].choices))


class MaskedNet(nn.Module):
    """All networks of a masked space with shared weights.

    In training mode batch norm normalises by the batch and gathers nothing;
    `derive` a network and recalibrate that before judging it. Each resolution
    is run and kept on its own, so memory does not grow with their number.
    """

    def __init__(self, space: MaskedSpace, *, checkpoint: bool = False) -> None:
        super().__init__()
        self.space, self.checkpoint = space, checkpoint
        self.stem = build_operator(space.before[0])
        self.blocks = nn.ModuleList(MaskedBlock(space, slot) for slot in space.slots)
        self.tail = nn.Sequential(*(build_operator(operator) for operator in space.after))
        stop_tracking(batch_norms([self]))

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images of the largest resolution to logits.

        Logits of the resolutions are mixed behind the average pool, where all
        have one shape: it is there that scattered maps would be averaged too.

        Args:
            images: (batch, 3, height, width).
            weights: (variables, widest) weights of the options.
        """
        sizes = self.space.resolutions
        values = weights[0].detach().tolist()[: len(sizes)]
        live = [number for number, value in enumerate(values) if value != 0]
        total: Tensor | None = None
        for number in live:
            small = subsample(images, sizes[number])
            if torch.is_grad_enabled() and (self.checkpoint or len(live) > 1):
                logits: Tensor = recompute(self._run, small, weights, use_reentrant=False)
            else:
                logits = self._run(small, weights)
            part = weights[0, number] * logits
            total = part if total is None else total + part
        if total is None:
            raise UsageError("All resolutions have weight 0.")
        return total

    def _run(self, images: Tensor, weights: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = block(x, weights)
        logits: Tensor = self.tail(x)
        return logits

    def derive(self, choices: Sequence[int]) -> nn.Sequential:
        """One network with a copy of its weights; child `i` is operator `i`.

        It takes images of the largest resolution, as all others do, and
        samples them itself.

        Raises:
            UsageError: Options that are not legal.
        """
        words = self.space.words(choices)
        network = self.space.architecture(words, "derived")
        large = [self.stem]
        for block, slot in zip(self.blocks, self.space.slots, strict=True):
            assert isinstance(block, MaskedBlock)
            large.append(block.kinds[choices[slot.kind]])
        large += list(self.tail)
        device = next(self.parameters()).device
        parts = [
            copy_leading(source, build_operator(operator)).to(device)
            for source, operator in zip(large, network.operators, strict=True)
        ]
        derived = Sampled(network.resolution, *parts)
        return derived.requires_grad_(True)


class Sampled(nn.Sequential):
    """A network that first samples its images to its own resolution."""

    def __init__(self, resolution: int, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.resolution = resolution

    def forward(self, images: Tensor) -> Tensor:
        """Images of the same or a larger size to logits."""
        x = subsample(images, self.resolution)
        for part in self:
            x = part(x)
        return x
