"""The FBNet space: 22 searched layers, nine candidates each.

Source: FBNet (arXiv 1812.03443), Table 1 (macro-architecture) and Table 2
(candidate blocks). Skip is legal only where input and output agree, which
leaves 192 candidates and 9^16 * 8^6 networks (the paper's 9^22 ignores that).
The first 1x1 of a block is kept at expansion 1 too, as in Figure 3, unless
`always_pointwise` is false.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from search.spaces.frame import BLOCKS, SKIP
from search.spaces.layout.model import Candidate, Convolution, Layout
from search.spaces.layout.space import LayoutSpace, fixed_rows, named, searched_rows
from search.spaces.preset import Macro, Stage


def _stages(*rows: tuple[int, int, int]) -> tuple[Stage, ...]:
    return tuple(Stage(*row) for row in rows)


_FBNET = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
# The printed strides reduce a 32x32 image to one pixel; these keep 4x4.
_CIFAR = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
_MINI = ((16, 1, 1), (24, 2, 2), (40, 2, 2), (80, 1, 2))

PRESETS = {
    "fbnet": Macro(16, 2, _stages(*_FBNET), 1984, 224, 1000),
    "fbnet-cifar": Macro(16, 1, _stages(*_CIFAR), 1984, 32, 10),
    "fbnet-mini": Macro(16, 1, _stages(*_MINI), 256, 32, 10),
}


@dataclass(frozen=True, kw_only=True)
class FBNetSpace(LayoutSpace):
    """The FBNet space, and others of layers that choose among named blocks."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (*BLOCKS, SKIP)

    preset: str = "fbnet"
    always_pointwise: bool = True

    def _layout(self) -> Layout:
        macro = self._preset()
        return Layout(
            stem=(Convolution(3, macro.stem_channels, macro.stem_stride),),
            stages=(
                *fixed_rows(macro.first),
                *searched_rows(macro.stages, self._choosable),
                *fixed_rows(macro.last),
            ),
        )

    @property
    def _choosable(self) -> tuple[Candidate, ...]:
        """What every searched layer chooses from, where it can stand."""
        return named(*self.candidates)
