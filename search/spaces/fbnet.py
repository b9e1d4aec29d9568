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

from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer
from search.spaces.frame import BLOCKS, SKIP, Frame, scale_channels
from search.spaces.preset import Macro, Parts, PresetSpace, Stage


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
class FBNetSpace(PresetSpace):
    """The FBNet space, and others of layers that choose among named blocks."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (*BLOCKS, SKIP)

    preset: str = "fbnet"
    always_pointwise: bool = True

    def _build(self, macro: Macro) -> Parts:
        channels, size = scale_channels(macro.stem_channels, self.width), self.resolution
        frame = Frame(self.always_pointwise, self.batch, self.dtype)
        stem = frame.conv(3, 3, channels, size, macro.stem_stride)
        size //= macro.stem_stride
        first, channels = self._fixed(frame, macro.first, channels, size)
        layers = []
        for number, stage in enumerate(macro.stages, 1):
            out = scale_channels(stage.channels, self.width)
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                choices = (
                    Choice(name=name, operator=operator)
                    for name in self.candidates
                    if (operator := self._operator(frame, name, channels, out, size, stride))
                )
                layers.append(Layer(name=f"stage{number}.{repeat + 1}", choices=tuple(choices)))
                channels, size = out, size // stride
        last, channels = self._fixed(frame, macro.last, channels, size)
        head = frame.conv(1, channels, self.head_channels, size, 1)
        classifier = frame.classifier(self.head_channels, self.classes, size)
        return (stem, *first), tuple(layers), (*last, head, classifier)

    def _operator(
        self, frame: Frame, name: str, into: int, out: int, size: int, stride: int
    ) -> OperatorSpec | None:
        """A candidate by its name; None where it is not legal."""
        return frame.block(name, into, out, size, stride)

    def _fixed(
        self, frame: Frame, blocks: tuple[tuple[str, int], ...], channels: int, size: int
    ) -> tuple[list[OperatorSpec], int]:
        """Blocks that every network has, and the channels after them."""
        operators = []
        for name, plain in blocks:
            out_channels = scale_channels(plain, self.width)
            operator = frame.block(name, channels, out_channels, size, 1)
            assert operator is not None
            operators.append(operator)
            channels = out_channels
        return operators, channels
