"""The Single-Path NAS space: kernel 3 or 5, expansion 3 or 6, or skip.

Source: Single-Path NAS (arXiv 1904.02877), on the frame of MnasNet: 20
searched layers, of which 15 may be skipped: 5^15 * 4^5 = 3.1e13 networks (the
paper's 5^22 is a loose bound). The mini preset fits 32x32 images and a CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from search.operators.spec import OperatorSpec
from search.spaces.fbnet import FBNetSpace
from search.spaces.frame import SKIP
from search.spaces.preset import Macro, Stage

_FULL = ((24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2))
_MINI = ((24, 2, 2), (40, 2, 2), (80, 1, 2))

PRESETS = {
    "single-path": Macro(
        stem_channels=32,
        stem_stride=2,
        stages=tuple(Stage(*row) for row in _FULL),
        head_channels=1280,
        resolution=224,
        classes=1000,
        first=(("k3_e1", 16),),
        last=(("k3_e6", 320),),
    ),
    "single-path-mini": Macro(
        stem_channels=16,
        stem_stride=1,
        stages=tuple(Stage(*row) for row in _MINI),
        head_channels=256,
        resolution=32,
        classes=10,
        first=(("k3_e1", 16),),
    ),
}


def are_nested(blocks: Sequence[OperatorSpec]) -> bool:
    """Whether the candidates of a layer are the parts of one superkernel, skips left out.

    That is every combination of at most two kernels and two expansions of one inverted
    residual block, which differs in nothing else.
    """
    kernels = {block.kernel for block in blocks}
    expansions = {block.expansion for block in blocks}
    plain = all(
        block.kind == "ir"
        and block.first_pointwise
        and block.groups == block.depthwise == 1
        and not block.squeeze_channels
        for block in blocks
    )
    full = len(kernels) * len(expansions) == len(blocks)
    alike = len({block.activation for block in blocks}) <= 1
    return plain and full and alike and max(len(kernels), len(expansions)) <= 2


@dataclass(frozen=True, kw_only=True)
class SinglePathSpace(FBNetSpace):
    """The space of superkernels: the larger of each pair holds the smaller."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = ("k3_e3", "k3_e6", "k5_e3", "k5_e6", SKIP)

    preset: str = "single-path"
    always_pointwise: bool = False
