"""Spaces of MobileNetV4's universal inverted bottleneck.

Source: MobileNetV4 (arXiv 2404.10518), section 4: one block whose depthwise
convolutions before the first 1x1 and in the middle are both optional. With the
middle alone it is an inverted bottleneck (`ib`), with the start alone
ConvNeXt's block (`convnext`), with both `extradw`, with neither a feed-forward
(`ffn`). `uib` stands in the frame of MobileNetV4-Conv-S (Table 11), whose
searched layers are its last two stages; `uib-mini` is ours, for 32x32 images and
a CPU. The paper searches per layer as here; its own candidates are not printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from search.spaces.frame import SKIP
from search.spaces.layout.model import Convolution, Layout
from search.spaces.layout.space import LayoutSpace, named, searched_rows
from search.spaces.preset import Macro, Stage

BOTTLENECKS = (
    *("ib_k3_e2", "ib_k3_e4", "ib_k5_e4"),
    *("convnext_k3_e4", "convnext_k5_e4"),
    *("extradw_k3_k3_e4", "extradw_k3_k5_e4", "extradw_k5_k3_e4"),
    *("ffn_e2", "ffn_e4"),
)

PRESETS = {
    # Its stem is five convolutions, of stride 8 together.
    "uib": Macro(32, 8, (Stage(96, 6, 2), Stage(128, 6, 2)), 960, 224, 1000),
    "uib-mini": Macro(16, 1, (Stage(24, 2, 2), Stage(40, 2, 2), Stage(80, 1, 2)), 256, 32, 10),
}
# Kernel, channels and stride of the convolutions before the layers; hidden channels behind the
# pool.
STEMS = {
    "uib": ((3, 32, 2), (3, 32, 2), (1, 32, 1), (3, 96, 2), (1, 64, 1)),
    "uib-mini": ((3, 16, 1),),
}
HIDDEN = {"uib": 1280, "uib-mini": 0}


@dataclass(frozen=True, kw_only=True)
class UniversalSpace(LayoutSpace):
    """Layers that choose among universal inverted bottlenecks, and a skip where shapes agree."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (*BOTTLENECKS, SKIP)

    preset: str = "uib"

    def _layout(self) -> Layout:
        return Layout(
            stem=tuple(Convolution(*part) for part in STEMS[self.preset]),
            stages=searched_rows(self._preset().stages, named(*self.candidates)),
            hidden=HIDDEN[self.preset],
        )
