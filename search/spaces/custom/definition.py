"""A space of one's own: its definition, and the space that it makes.

Its spec holds the whole layout behind a colon, so a table, an architecture or scores of
it are read without the file it came from. What stands before the colon is short: name,
eight digits of the layout's hash, and what every spec says. It names tables.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from search.errors import UsageError
from search.operators.words import space_label
from search.spaces.base import LayeredSpace
from search.spaces.layout.model import Candidate, Layout
from search.spaces.layout.space import LayoutSpace
from search.spaces.layout.text import MOST_CHARACTERS, layout_text, parse_layout
from search.spaces.preset import TAIL, Macro, Stage, values_of

SPACE_NAME = re.compile(r"[a-z](?:(?!-r[0-9])[a-z0-9+-]){0,39}", re.ASCII)
_SPEC = re.compile(
    rf"(?P<preset>{SPACE_NAME.pattern})\.(?P<digest>[0-9a-f]{{8}})-{TAIL}:(?P<layout>.+)", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class CustomSpace(LayoutSpace):
    """A space that is laid out by its own `arrangement` instead of a preset's.

    Raises:
        UsageError: As `PresetSpace`; a name that no folder could have.
    """

    presets: ClassVar[Mapping[str, Macro]] = {}

    arrangement: Layout = field(repr=False)

    def _preset(self) -> Macro:
        if not SPACE_NAME.fullmatch(self.preset):
            raise UsageError(
                f"{self.preset[:80]!r} is no name of a space.",
                "Take at most 40 of a-z, 0-9, + and -, a letter first, and no -r before a digit.",
            )
        stages = tuple(Stage(s.channels, s.repeats, s.stride) for s in self.arrangement.stages)
        return Macro(
            stem_channels=self.arrangement.stem[-1].channels,
            stem_stride=prod(part.stride for part in self.arrangement.stem),
            stages=stages,
            head_channels=self.head_channels,
            resolution=self.resolution,
            classes=self.classes,
        )

    def _layout(self) -> Layout:
        return self.arrangement

    def _spec(self) -> str:
        text = layout_text(self.arrangement)
        if len(text) > MOST_CHARACTERS:
            raise UsageError(
                f"{self.preset} needs {len(text)} characters to be written down.",
                f"At most {MOST_CHARACTERS}: use shorter names, or fewer lists of candidates.",
            )
        rest = super()._spec().removeprefix(self.preset)
        return f"{self.preset}.{_digest(text)}{rest}:{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_custom(spec: str) -> CustomSpace | None:
    """Rebuild a space of one's own from its `spec`; None when it is of another family.

    Raises:
        UsageError: Not canonical, an edited layout, or values that the space cannot take.
    """
    match = _SPEC.fullmatch(spec)
    if not match:
        return None
    if _digest(match["layout"]) != match["digest"]:
        raise UsageError(
            f"The layout of {space_label(spec)} is not the one that its name was made of.",
            "Copy the whole spec, or name the space's file.",
        )
    space = CustomSpace(arrangement=parse_layout(match["layout"]), **values_of(match))
    if space.spec != spec:
        raise UsageError(f"{spec[:200]!r} is not canonical.", f"Write {space.spec}.")
    return space


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceDefinition:
    """All that a file says of a space.

    Attributes:
        name: What tables and messages call it.
        description: One line for a list; no part of the space.
        layout: Stem, stages, head.
        resolution: Pixels a side, unless another is asked for; so `classes`, `head_channels`.
        keep_pointwise: Whether blocks keep their first 1x1 convolution at expansion 1.

    Raises:
        UsageError: No network can be built of it; says where it fails.
    """

    name: str
    layout: Layout
    resolution: int
    classes: int
    head_channels: int
    keep_pointwise: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        _require_choices(self.space())

    def space(
        self,
        *,
        resolution: int = 0,
        width: float = 1.0,
        classes: int = 0,
        head_channels: int = 0,
        always_pointwise: bool | None = None,
        batch: int = 1,
        dtype: str = "fp32",
    ) -> CustomSpace:
        """The space; 0 and None take what the definition says.

        Raises:
            UsageError: Values that the space cannot take.
        """
        return CustomSpace(
            preset=self.name,
            arrangement=self.layout,
            resolution=resolution or self.resolution,
            width=width,
            classes=classes or self.classes,
            head_channels=head_channels or self.head_channels,
            always_pointwise=(
                self.keep_pointwise if always_pointwise is None else always_pointwise
            ),
            batch=batch,
            dtype=dtype,
        )


def _require_choices(space: CustomSpace) -> None:
    """Every layer has a choice, some have several, and no two of a layer are the same operator."""
    for layer in space.layers:
        if not layer.choices:
            raise UsageError(
                f"Layer {layer.name} has no candidates: it changes the shape, and {_WHY_NOT}.",
                "Add another candidate to its stage.",
            )
        keys = Counter(choice.operator.key for choice in layer.choices)
        same = [choice.name for choice in layer.choices if keys[choice.operator.key] > 1]
        if same:
            raise UsageError(
                f"{same[0]} and {same[1]} are the same operator in layer {layer.name}.",
                "Leave one of them out.",
            )
    if all(len(layer.choices) == 1 for layer in space.layers):
        raise UsageError("Every layer has one candidate, so nothing is searched.", "Add others.")
    _require_places(space)


def _require_places(space: CustomSpace) -> None:
    """Every candidate of a list can stand in some layer that chooses from the list."""
    layers, used = iter(space.layers), dict[tuple[Candidate, ...], set[str]]()
    for stage in space.arrangement.stages:
        if not stage.fixed:
            names = used.setdefault(stage.candidates, set())
            names.update(c.name for _ in range(stage.repeats) for c in next(layers).choices)
    for number, stage in enumerate(space.arrangement.stages, 1):
        names = used.get(stage.candidates, set())
        never = [c.name for c in stage.candidates if not stage.fixed and c.name not in names]
        if never:
            raise UsageError(
                f"{never[0]} of stage {number} can stand in none of its layers: {_WHY_NOT}.",
                "Leave it out, or let the stage repeat.",
            )


_WHY_NOT = (
    "a skip needs stride 1 and equal channels, and a block without depthwise convolution stride 1"
)


def definition_of(space: LayeredSpace) -> SpaceDefinition:
    """The definition of a space that has a layout, under the name that it has.

    Raises:
        UsageError: A space whose layers depend on each other has none.
    """
    if not isinstance(space, LayoutSpace):
        raise UsageError(
            f"{space.label} is no space of independent layers, so no file can say it.",
            "Start from fbnet, single-path, uib, nas-bench-macro or one of their mini spaces.",
        )
    return SpaceDefinition(
        name=space.preset,
        layout=space.layout,
        resolution=space.resolution,
        classes=space.classes,
        head_channels=space.head_channels,
        keep_pointwise=space.always_pointwise,
    )
