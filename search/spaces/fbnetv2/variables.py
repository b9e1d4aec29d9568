"""The variables of a masked space, and which of them each block depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from search.spaces.fbnetv2.macros import MaskedMacro, steps
from search.spaces.frame import multiple_of_8


class Option(NamedTuple):
    """One value of a variable."""

    name: str
    value: float


class Variable(NamedTuple):
    """One thing that is chosen; `choices` as a layer's."""

    name: str
    choices: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLayer:
    """One searched block and the variables that it depends on; None is a fixed width.

    `free` means that its widths in and out are chosen apart.
    """

    name: str
    into: int | None
    out: int
    kind: int
    expansion: int
    stride: int
    reduction: int
    most_in: int
    free: bool = False

    @property
    def joined(self) -> bool:
        """Input and output are one variable: whatever the width, the block adds its input."""
        return self.into == self.out

    def adds(self, into: int, out: int) -> bool:
        """Whether the block adds its input at these widths."""
        return self.joined or (self.free and self.stride == 1 and into == out)


def variables_of(
    macro: MaskedMacro, resolutions: Sequence[int]
) -> tuple[tuple[Variable, ...], tuple[MaskedLayer, ...]]:
    """All variables of a frame in their order, and the blocks that depend on them."""
    sizes = tuple(Option(f"r{size}", size) for size in resolutions)
    variables, slots = [Variable("resolution", sizes)], []
    into, most_in, reduction = (
        None,
        macro.frame.stem_channels,
        macro.frame.stem_stride,
    )
    for number, stage in enumerate(macro.stages, 1):
        widths = tuple(Option(f"c{int(w)}", int(w)) for w in steps(*stage.widths))
        for repeat in range(stage.repeats):
            name, inner = f"stage{number}.{repeat + 1}", repeat > 0
            if macro.free or not inner:
                place = name if macro.free else f"stage{number}"
                variables.append(Variable(f"{place}.width", widths))
                out = len(variables) - 1
            kinds = (*macro.kinds, *(("skip",) if inner else ()))
            slot = MaskedLayer(
                name=name,
                into=into,
                out=out,
                kind=len(variables),
                expansion=len(variables) + 1,
                stride=1 if inner else stage.stride,
                reduction=reduction,
                most_in=most_in,
                free=macro.free,
            )
            options = tuple(Option(kind, i) for i, kind in enumerate(kinds))
            variables.append(Variable(f"{name}.block", options))
            mids = tuple(
                Option(f"e{e:g}", multiple_of_8(e * most_in)) for e in steps(*stage.expansions)
            )
            variables.append(Variable(f"{name}.expansion", mids))
            slots.append(slot)
            into, most_in, reduction = out, stage.widths[1], reduction * slot.stride
    return tuple(variables), tuple(slots)
