"""What a training leaves out or mixes at random; every draw comes from a step's generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from search.operators.modules import InvertedResidual

# Random erasing (arXiv 1708.04896, section 4.1): area and shape of the rectangle.
ERASED_AREA, ERASED_RATIO = (0.02, 0.4), 0.3


_Hook = Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]


class Drawing:
    """Hooks that draw from a generator inside a `with`, and do nothing outside it."""

    def __init__(self) -> None:
        self._generator: torch.Generator | None = None

    def drawing_from(self, generator: torch.Generator) -> "Drawing":
        """For a `with` around the forward pass."""
        self._generator = generator
        return self

    def __enter__(self) -> None:
        """The hooks are on."""

    def __exit__(self, *_: object) -> None:
        self._generator = None

    def dropout(self, classifier: nn.Module, share: float) -> None:
        """Drop a share of a layer's inputs.

        `nn.Dropout` would draw from torch's global generator, and as a child of
        the network it would move the names in its state dict.
        """

        def drop(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
            if self._generator is None:
                return None
            (x,) = inputs
            kept = torch.rand(x.shape, generator=self._generator) >= share
            return (x * kept.to(x.device, x.dtype) / (1 - share),)

        classifier.register_forward_pre_hook(drop)

    def drop_path(self, blocks: Sequence[nn.Module], most: float) -> None:
        """Leave blocks that add their input out, image by image.

        Stochastic depth (arXiv 1603.09382): the chance rises in a straight line to `most`
        at the last block; what is kept is scaled up.
        """
        for number, block in enumerate(blocks, 1):
            block.register_forward_hook(self._leaves_out(most * number / len(blocks)))

    def _leaves_out(self, share: float) -> _Hook:
        def leave_out(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            if self._generator is None:
                return output
            (x,) = inputs
            kept = torch.rand((len(x), 1, 1, 1), generator=self._generator) >= share
            return x + (output - x) * (kept.to(x.device, x.dtype) / (1 - share))

        return leave_out


def residual_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks that add their input, in order."""
    return [
        module
        for module in network.modules()
        if isinstance(module, InvertedResidual) and module.residual
    ]


def last_linear(network: nn.Module) -> nn.Linear | None:
    """The classifier of a network; None where there is none."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def erase(images: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Blot a rectangle out of some images: their normalised pixels become 0, the mean.

    Args:
        images: (B, 3, R, R).
        chance: Of each image.
        generator: Of the step.
    """
    number, side = len(images), images.shape[2]
    draws = torch.rand(5, number, generator=generator)
    area = side * side * (ERASED_AREA[0] + draws[1] * (ERASED_AREA[1] - ERASED_AREA[0]))
    # Ratios from 0.3 to 1 / 0.3, even in their logarithm.
    ratio = ERASED_RATIO ** (1 - 2 * draws[2])
    height = (area * ratio).sqrt().round().clamp(1, side)
    width = (area / ratio).sqrt().round().clamp(1, side)
    rows = _inside(side, draws[3], height)
    columns = _inside(side, draws[4], width)
    hidden = rows[:, :, None] & columns[:, None, :] & (draws[0] < chance)[:, None, None]
    return images.masked_fill(hidden[:, None].to(images.device), 0.0)


def _inside(side: int, place: Tensor, length: Tensor) -> Tensor:
    """(B, side) whether a row or column is in a stretch of this length."""
    first = (place * (side - length + 1)).floor()
    index = torch.arange(side)
    return (index >= first[:, None]) & (index < (first + length)[:, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """Images mixed in pairs: `share` of the first of each, the rest of the `other`."""

    images: Tensor
    other: Tensor
    share: float


def mix(images: Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """Mixup (arXiv 1710.09412): one share a batch from Beta(alpha, alpha).

    Returns:
        The mixed images; `other` are numbers of the images that were mixed in.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(images), generator=generator)
    mixed = images * share + images[other.to(images.device)] * (1 - share)
    return Mixed(images=mixed, other=other, share=share)
