"""The space of NAS-Bench-Macro: 6,561 networks whose accuracies are published.

Source: Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree
Search" (CVPR 2021), section 4 of its supplement: a 3x3 stem of 32 channels at
32x32, stages of 2, 3 and 3 blocks with 64, 128 and 256 channels, each of which
begins with stride 2, and a 1x1 convolution of 1280 channels. Candidates are the
identity (0 in the benchmark's names), a block of kernel 3 and expansion 3 (1),
and one of kernel 5 and expansion 6 (2), with ReLU; where the shape changes the
identity is a strided 1x1 convolution with batch norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from search.spaces.fbnet import FBNetSpace
from search.spaces.frame import SKIP
from search.spaces.layout.block import Block
from search.spaces.layout.model import Candidate
from search.spaces.layout.space import named
from search.spaces.preset import Macro, Stage

NAME = "nas-bench-macro"
PRESETS = {
    NAME: Macro(32, 1, (Stage(64, 2, 2), Stage(128, 3, 2), Stage(256, 3, 2)), 1280, 32, 10),
}


@dataclass(frozen=True, kw_only=True)
class NasBenchMacroSpace(FBNetSpace):
    """Candidates stand in the order of the benchmark's digits."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (SKIP, "k3_e3", "k5_e6")

    preset: str = NAME
    always_pointwise: bool = False

    @property
    def _choosable(self) -> tuple[Candidate, ...]:
        identity = Candidate(SKIP, Block(kind=SKIP, projection=True))
        return (identity, *named(*(name for name in self.candidates if name != SKIP)))
