"""The variables of a masked space, and which of them each block depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from search.spaces.fbnetv2_macros import MaskedMacro, steps


class Option(NamedTuple):
    """One value of a variable."""

    name: str
    value: float


class Variable(NamedTuple):
    """One thing that is chosen; `choices` as a layer's."""

    name: str
    choices: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One searched block and the variables that it depends on; None is a fixed width."""

    name: str
    into: int | None
    out: int
    kind: int
    expansion: int
    stride: int
    reduction: int
    most_in: int

    @property
    def residual(self) -> bool:
        """Within a stage input and output share their width."""
        return self.into == self.out


def variables_of(
    macro: MaskedMacro, resolutions: Sequence[int]
) -> tuple[tuple[Variable, ...], tuple[Slot, ...]]:
    """All variables of a frame in their order, and the blocks that depend on them."""
    sizes = tuple(Option(f"r{size}", size) for size in resolutions)
    variables, slots = [Variable("resolution", sizes)], []
    into, most_in, reduction = (
        None,
        macro.frame.stem_channels,
        macro.frame.stem_stride,
    )
    for number, stage in enumerate(macro.stages, 1):
        out = len(variables)
        widths = tuple(Option(f"c{int(w)}", int(w)) for w in steps(*stage.widths))
        variables.append(Variable(f"stage{number}.width", widths))
        for repeat in range(stage.repeats):
            name, inner = f"stage{number}.{repeat + 1}", repeat > 0
            kinds = (*macro.kinds, *(("skip",) if inner else ()))
            slot = Slot(
                name=name,
                into=out if inner else into,
                out=out,
                kind=len(variables),
                expansion=len(variables) + 1,
                stride=1 if inner else stage.stride,
                reduction=reduction,
                most_in=most_in,
            )
            options = tuple(Option(kind, i) for i, kind in enumerate(kinds))
            variables.append(Variable(f"{name}.block", options))
            mids = tuple(
                Option(f"e{e:g}", max(1, round(e * most_in))) for e in steps(*stage.expansions)
            )
            variables.append(Variable(f"{name}.expansion", mids))
            slots.append(slot)
            most_in, reduction = stage.widths[1], reduction * slot.stride
        into = out
    return tuple(variables), tuple(slots)
