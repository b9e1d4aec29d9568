"""The masked supernet: all widths, kinds and input sizes of a space in one network.

FBNetV2 (arXiv 2004.05565), section 3.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as run_recomputed

from search.errors import UsageError
from search.operators.modules import build_operator
from search.spaces.fbnetv2.space import MaskedSpace
from search.supernets.batch_norm import batch_norms, freeze_statistics
from search.supernets.masked_block import MaskedBlock, copy_leading
from search.supernets.masks import scatter, subsample


class MaskedSupernet(nn.Module):
    """All networks of a masked space with shared weights.

    In training mode batch norm normalises by the batch and gathers nothing;
    `derive` a network and recalibrate that before judging it. Each resolution
    is run and kept on its own, so memory does not grow with their number.

    Two ways to mix resolutions; both equal the derived network where one
    resolution has all weight, and differ in between:

      * apart (default): every resolution runs through the whole network, and
        their logits are mixed. After the average pool all have one shape, so
        nothing needs to be scattered, and no pixel holds values of two sizes.
      * scattered, as Figure 2 draws it: every operator runs on samples of one
        map of full size, and its outputs are put back on the pixels that they
        came from and summed. Pixels that two sizes share are mixed (Figure 5:
        "contaminated"). The average is taken over the pixels that hold
        values, sum_r g_r n_r: one over all pixels of the map, zeros included,
        would shrink a smaller input's features by its share of the area, and
        the chosen network would not be what was trained.

    Args:
        space: What to build.
        recompute: Recompute activations in the backward pass.
        scattered: See above.
    """

    def __init__(
        self, space: MaskedSpace, *, recompute: bool = False, scattered: bool = False
    ) -> None:
        super().__init__()
        self.space, self.recompute, self.scattered = space, recompute, scattered
        self.stem = build_operator(space.before[0])
        self.blocks = nn.ModuleList(MaskedBlock(space, layer) for layer in space.masked_layers)
        self.tail = nn.Sequential(*(build_operator(part) for part in space.after))
        freeze_statistics(batch_norms([self]))

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        """Images of the largest resolution to logits.

        Args:
            images: (batch, 3, height, width).
            weights: (variables, widest) weights of the options.

        Raises:
            UsageError: All resolutions have weight 0.
        """
        sizes = self.space.resolutions
        values = weights[0].detach().tolist()[: len(sizes)]
        live = [number for number, value in enumerate(values) if value != 0]
        if not live:
            raise UsageError("All resolutions have weight 0.")
        if self.scattered:
            return self._scattered(images, weights, live)
        run = self._runner(self._run, len(live) > 1)
        return sum_of(
            weights[0, number] * run(subsample(images, sizes[number]), weights) for number in live
        )

    def _scattered(self, images: Tensor, weights: Tensor, live: Sequence[int]) -> Tensor:
        """Map by map: sample, run, put back, sum."""
        sizes = torch.tensor([self.space.resolutions[number] for number in live])
        parts: list[Callable[[Tensor, Tensor], Tensor]] = [
            _alone(self.stem),
            *self.blocks,
            _alone(self.tail[0]),
        ]
        x, full = images, images.shape[-1]
        for part in parts:
            run, side = self._runner(part, len(live) > 1), x.shape[-1]
            maps = [run(subsample(x, int(size) * side // full), weights) for size in sizes]
            # The largest resolution need not be live: its share of the area gives the full side.
            new = maps[-1].shape[-1] * full // int(sizes[-1])
            x = sum_of(
                weights[0, number] * scatter(values, new)
                for number, values in zip(live, maps, strict=True)
            )
        held = (weights[0, list(live)] * (sizes.to(weights) / full) ** 2).sum()
        logits: Tensor = self.tail[1](x / held)
        return logits

    def _runner(
        self, part: Callable[[Tensor, Tensor], Tensor], several: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The same, recomputed in the backward pass where its activations would pile up."""
        if not (torch.is_grad_enabled() and (self.recompute or several)):
            return part
        return lambda x, weights: run_recomputed(part, x, weights, use_reentrant=False)

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
        names = self.space.option_names(choices)
        network = self.space.architecture(names, "derived")
        large = [self.stem]
        for block, layer in zip(self.blocks, self.space.masked_layers, strict=True):
            assert isinstance(block, MaskedBlock)
            large.append(block.kinds[choices[layer.block_type]])
        large += list(self.tail)
        device = next(self.parameters()).device
        parts = [
            copy_leading(source, build_operator(part)).to(device)
            for source, part in zip(large, network.operators, strict=True)
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


def sum_of(parts: Iterable[Tensor]) -> Tensor:
    """The sum of one tensor or more."""
    return reduce(operator.add, parts)


def _alone(part: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """A part that depends on no variable."""
    return lambda x, _: part(x)
