"""The printed frames of FBNetV2's spaces.

Source: FBNetV2 (arXiv 2004.05565), Tables 2 and 3, and the F macro as
FP-NAS (arXiv 2011.10949) prints it in its Table 1.
"""

from itertools import product
from typing import NamedTuple

from search.spaces.preset import Macro


class MaskedStage(NamedTuple):
    """Blocks of one width: (lowest, highest, step) of channels and of expansion."""

    widths: tuple[int, int, int]
    expansions: tuple[float, float, float]
    repeats: int
    stride: int


class MaskedMacro(NamedTuple):
    """The frame; resolutions are multiples of `grain` from `least` times the largest.

    `free` gives every block a width of its own; otherwise a stage's blocks
    share one, so that residual adds always fit.
    """

    frame: Macro
    stages: tuple[MaskedStage, ...]
    kinds: tuple[str, ...]
    grain: int
    least: float
    free: bool = False


FREE = "-free"
_KINDS = tuple(
    f"k{kernel}_{activation}{squeeze}"
    for kernel, activation, squeeze in product((3, 5), ("relu", "hswish"), ("", "_se"))
)
_L = (
    MaskedStage((12, 16, 4), (1, 1, 1), 1, 1),
    MaskedStage((16, 28, 4), (0.75, 3.25, 0.5), 3, 2),
    MaskedStage((16, 40, 8), (0.75, 3.25, 0.5), 3, 2),
    MaskedStage((48, 96, 8), (0.75, 3.75, 0.5), 3, 2),
    MaskedStage((72, 128, 8), (0.75, 4.5, 0.75), 4, 1),
    MaskedStage((112, 216, 8), (0.75, 4.5, 0.75), 4, 2),
)
_F = (
    MaskedStage((12, 16, 4), (1, 1, 1), 1, 1),
    MaskedStage((16, 24, 4), (0.75, 4.5, 0.75), 3, 2),
    MaskedStage((16, 40, 8), (0.75, 4.5, 0.75), 3, 2),
    MaskedStage((48, 80, 8), (0.75, 4.5, 0.75), 3, 2),
    MaskedStage((72, 112, 8), (0.75, 4.5, 0.75), 3, 1),
    MaskedStage((112, 184, 8), (0.75, 4.5, 0.75), 4, 2),
)
_MINI = (
    MaskedStage((8, 16, 8), (1, 1, 1), 1, 1),
    MaskedStage((16, 24, 8), (2, 6, 2), 2, 2),
    MaskedStage((24, 40, 8), (2, 6, 2), 2, 2),
    MaskedStage((48, 80, 16), (2, 6, 2), 1, 2),
)
_PLAIN = ("k3_relu", "k3_relu_se", "k5_relu", "k5_relu_se")
_SHARED = {
    "fbnetv2": MaskedMacro(Macro(16, 2, (), 1984, 256, 1000), _L, _KINDS, 32, 0.5),
    "fbnetv2-f": MaskedMacro(Macro(16, 2, (), 1984, 224, 1000), _F, _KINDS, 32, 0.5),
    "fbnetv2-mini": MaskedMacro(Macro(16, 1, (), 256, 32, 10), _MINI, _PLAIN, 8, 0.75),
}
MACROS = _SHARED | {f"{name}{FREE}": macro._replace(free=True) for name, macro in _SHARED.items()}
