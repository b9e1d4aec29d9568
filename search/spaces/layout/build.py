"""From a layout to operators: the one place where its stages become layers."""

from collections.abc import Iterator
from dataclasses import replace

from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer
from search.spaces.frame import Frame, scale_channels
from search.spaces.layout.block import Place
from search.spaces.layout.model import Candidate, Layout, StageRow
from search.spaces.preset import Parts


def build_layout(
    layout: Layout,
    frame: Frame,
    *,
    width: float,
    resolution: int,
    head_channels: int,
    classes: int,
) -> Parts:
    """Fixed operators before the layers, the layers, fixed operators after them.

    Raises:
        UsageError: A candidate whose groups do not divide the channels, or the like.
    """
    before, place = _stem(layout, frame, width, resolution)
    size = resolution // layout.reduction
    layers: list[Layer] = []
    after: list[OperatorSpec] = []
    for name, stage, here in _rows(layout, place, width):
        if not stage.fixed:
            layers.append(Layer(name=name, choices=_choices(stage, frame, here, name)))
            continue
        fixed = _operator(stage.candidates[0], frame, here, "a fixed stage")
        if fixed is None:
            raise UsageError(
                f"{stage.candidates[0].name} is fixed in a stage that changes the shape."
            )
        (after if layers else before).append(fixed)
    channels = scale_channels(layout.stages[-1].channels, width)
    head = frame.conv(1, channels, head_channels, size, 1, layout.head_activation)
    classifier = frame.classifier(head_channels, classes, size)
    if layout.hidden:
        classifier = replace(
            classifier, mid_channels=layout.hidden, activation=layout.hidden_activation
        )
    return tuple(before), tuple(layers), (*after, head, classifier)


def _stem(
    layout: Layout, frame: Frame, width: float, resolution: int
) -> tuple[list[OperatorSpec], Place]:
    """Operators of the stem, and the shape behind it."""
    channels, size = 3, resolution
    operators = []
    for part in layout.stem:
        out = scale_channels(part.channels, width)
        operators.append(frame.conv(part.kernel, channels, out, size, part.stride, part.activation))
        channels, size = out, size // part.stride
    return operators, Place(channels, channels, size, 1)


def _rows(layout: Layout, place: Place, width: float) -> Iterator[tuple[str, StageRow, Place]]:
    """Every block in order: its name, its stage, and where it stands."""
    number = 0
    for stage in layout.stages:
        number += not stage.fixed
        places = _places(stage, place, width)
        for repeat, here in enumerate(places, 1):
            yield f"stage{number}.{repeat}", stage, here
        place = places[-1]


def _places(stage: StageRow, before: Place, width: float) -> list[Place]:
    """Where the blocks of a stage stand."""
    out, size = scale_channels(stage.channels, width), before.size // before.stride
    first = Place(before.out, out, size, stage.stride)
    rest = Place(out, out, size // stage.stride, 1)
    return [first, *[rest] * (stage.repeats - 1)]


def _choices(stage: StageRow, frame: Frame, place: Place, layer: str) -> tuple[Choice, ...]:
    return tuple(
        Choice(name=candidate.name, operator=operator)
        for candidate in stage.candidates
        if (operator := _operator(candidate, frame, place, layer))
    )


def _operator(candidate: Candidate, frame: Frame, place: Place, where: str) -> OperatorSpec | None:
    try:
        return candidate.block.operator(frame, place)
    except UsageError as error:
        reason = error.message.removeprefix("Not a possible operator: ")
        raise UsageError(
            f"{candidate.name} cannot stand in {where}, from {place.into} to {place.out} "
            f"channels at {place.size} px: {reason}",
            error.remedy,
        ) from error
