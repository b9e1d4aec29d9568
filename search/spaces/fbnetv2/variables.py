"""The variables of a masked space, and which of them each block depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from search.spaces.fbnetv2.macros import MaskedMacro
from search.spaces.frame import multiple_of_8, steps


class Option(NamedTuple):
    """One value of a variable."""

    name: str
    value: float


class Variable(NamedTuple):
    """One searched variable; `choices` are its options, as a layer's."""

    name: str
    choices: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLayer:
    """One searched block and the variables that it depends on; None is a fixed width.

    `free_widths` means that its widths in and out are chosen apart.
    """

    name: str
    in_width: int | None
    out_width: int
    block_type: int
    expansion: int
    stride: int
    reduction: int
    max_in_channels: int
    free_widths: bool = False

    @property
    def shares_width(self) -> bool:
        """True where input and output are one variable: the block always adds its input."""
        return self.in_width == self.out_width

    def has_residual(self, in_channels: int, out_channels: int) -> bool:
        """True where the block adds its input at these widths."""
        same = in_channels == out_channels
        return self.shares_width or (self.free_widths and self.stride == 1 and same)


def variables_of(
    macro: MaskedMacro, resolutions: Sequence[int]
) -> tuple[tuple[Variable, ...], tuple[MaskedLayer, ...]]:
    """All variables of a frame in their order, and the blocks that depend on them."""
    sizes = tuple(Option(f"r{size}", size) for size in resolutions)
    variables, layers = [Variable("resolution", sizes)], []
    in_width, max_in_channels, reduction = (
        None,
        macro.frame.stem_channels,
        macro.frame.stem_stride,
    )
    for number, stage in enumerate(macro.stages, 1):
        widths = tuple(Option(f"c{int(w)}", int(w)) for w in steps(*stage.widths))
        for repeat in range(stage.repeats):
            name, inner = f"stage{number}.{repeat + 1}", repeat > 0
            if macro.free or not inner:
                owner = name if macro.free else f"stage{number}"
                variables.append(Variable(f"{owner}.width", widths))
                out_width = len(variables) - 1
            kinds = (*macro.kinds, *(("skip",) if inner else ()))
            layer = MaskedLayer(
                name=name,
                in_width=in_width,
                out_width=out_width,
                block_type=len(variables),
                expansion=len(variables) + 1,
                stride=1 if inner else stage.stride,
                reduction=reduction,
                max_in_channels=max_in_channels,
                free_widths=macro.free,
            )
            options = tuple(Option(kind, i) for i, kind in enumerate(kinds))
            variables.append(Variable(f"{name}.block", options))
            mids = tuple(
                Option(f"e{e:g}", multiple_of_8(e * max_in_channels))
                for e in steps(*stage.expansions)
            )
            variables.append(Variable(f"{name}.expansion", mids))
            layers.append(layer)
            in_width, max_in_channels = out_width, stage.widths[1]
            reduction *= layer.stride
    return tuple(variables), tuple(layers)
