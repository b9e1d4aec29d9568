"""The layout of a space of independent layers: stem, stages with their candidates, head.

FBNet's Table 1 is one, and so are the frames of Single-Path NAS, MobileNetV4 and
NAS-Bench-Macro, and spaces of one's own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from search.errors import UsageError
from search.operators.spec import ACTIVATIONS, LARGEST
from search.spaces.layout.block import Block

MOST_STAGES, MOST_LAYERS, MOST_CANDIDATES, MOST_STRIDE = 64, 512, 256, 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of the stem, with batch norm and activation."""

    kernel: int
    channels: int
    stride: int = 1
    activation: str = "relu"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block under the name by which architectures choose it."""

    name: str
    block: Block

    @property
    def text(self) -> str:
        """The words of the block, after its name where that is another."""
        words = self.block.words
        return words if words == self.name else f"{self.name}={words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """`repeats` layers of equal width, the first of which strides.

    `fixed` is that of every network: its one candidate is no choice.
    """

    channels: int
    repeats: int = 1
    stride: int = 1
    candidates: tuple[Candidate, ...]
    fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All of a space but its resolution, width, classes and number format.

    Attributes:
        stem: Convolutions before the stages; channels under the width multiplier.
        stages: In order; fixed ones stand before the first searched one or after the last.
        head_activation: Of the 1x1 convolution behind them.
        hidden: Channels between pool and classifier; 0 is none.
        hidden_activation: Of these.

    Raises:
        UsageError: Nothing is searched, or values out of range; names the stage.
    """

    stem: tuple[Convolution, ...]
    stages: tuple[StageRow, ...]
    head_activation: str = "relu"
    hidden: int = 0
    hidden_activation: str = "relu"

    def __post_init__(self) -> None:
        _check_layout(self)

    @property
    def reduction(self) -> int:
        """Pixels of the image, a side, that make one pixel of the last feature map."""
        return prod(c.stride for c in self.stem) * prod(s.stride for s in self.stages)

    @property
    def menus(self) -> tuple[tuple[Candidate, ...], ...]:
        """The lists of candidates that stages choose from, each once."""
        return tuple(dict.fromkeys(stage.candidates for stage in self.stages))


def _check_layout(layout: Layout) -> None:
    if not layout.stem or len(layout.stem) > MOST_STAGES:
        raise UsageError(f"A stem has 1 to {MOST_STAGES} convolutions.", "Give [stem].")
    for number, part in enumerate(layout.stem, 1):
        where = "The stem" if len(layout.stem) == 1 else f"Convolution {number} of the stem"
        _check_range(where, "kernel", part.kernel, 1, 1023)
        if part.kernel % 2 == 0:
            raise UsageError(f"{where} has the even kernel {part.kernel}.", "Give an odd one.")
        _check_range(where, "channels", part.channels, 1, LARGEST)
        _check_range(where, "stride", part.stride, 1, MOST_STRIDE)
        _check_activation(where, part.activation)
    _check_activation("The head", layout.head_activation)
    _check_activation("The head", layout.hidden_activation)
    _check_range("The head", "hidden", layout.hidden, 0, LARGEST)
    _check_stages(layout.stages)


def _check_stages(stages: Sequence[StageRow]) -> None:
    if len(stages) > MOST_STAGES or sum(stage.repeats for stage in stages) > MOST_LAYERS:
        raise UsageError(f"More than {MOST_STAGES} stages or {MOST_LAYERS} layers are too many.")
    searched = [number for number, stage in enumerate(stages, 1) if not stage.fixed]
    if not searched:
        raise UsageError("No stage is searched.", "Add [[stages]] that are not fixed.")
    for number, stage in enumerate(stages, 1):
        where = f"Stage {number}"
        _check_range(where, "channels", stage.channels, 1, LARGEST)
        _check_range(where, "repeats", stage.repeats, 1, MOST_LAYERS)
        _check_range(where, "stride", stage.stride, 1, MOST_STRIDE)
        if not 1 <= len(stage.candidates) <= (1 if stage.fixed else MOST_CANDIDATES):
            few = "no candidates" if not stage.candidates else "too many candidates"
            raise UsageError(f"{where} has {few}.", f"Give 1 to {MOST_CANDIDATES}.")
        if stage.fixed and searched[0] < number < searched[-1]:
            raise UsageError(
                f"{where} is fixed and stands between searched stages.",
                "Fixed stages stand before or after them; give it candidates instead.",
            )
    _check_names([candidate for stage in stages for candidate in stage.candidates])
    for stage in stages:
        _check_twins(stage.candidates)


def _check_names(candidates: Sequence[Candidate]) -> None:
    blocks: dict[str, Block] = {}
    for name, block in ((candidate.name, candidate.block) for candidate in candidates):
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} is no name of a candidate.",
                "Take letters, digits and any of _ . + - (at most 64).",
            )
        if blocks.setdefault(name, block) != block:
            raise UsageError(f"Two candidates are named {name}.", "Rename one of them.")


def _check_twins(candidates: Sequence[Candidate]) -> None:
    names: dict[str, None] = {}
    blocks: dict[Block, str] = {}
    for candidate in candidates:
        if candidate.name in names:
            raise UsageError(f"Two candidates are named {candidate.name}.", "Leave one out.")
        names[candidate.name] = None
        other = blocks.setdefault(candidate.block, candidate.name)
        if other != candidate.name:
            raise UsageError(
                f"{other} and {candidate.name} are the same block.", "Leave one of them out."
            )


def _check_range(where: str, name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{where} has {name} = {value}.", f"Give {least} to {most}.")


def _check_activation(where: str, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise UsageError(
            f"{where} has the unknown activation {activation!r}.",
            f"Known: {', '.join(ACTIVATIONS)}.",
        )
