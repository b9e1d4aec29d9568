"""The same space, and the same network, for another number of classes.

Only the classifier at the end differs. FBNet (arXiv 1812.03443, section 4.1)
searches on 100 classes of ImageNet and trains what it found on all 1,000, as
Single-Path NAS and FBNetV2 do.
"""

from dataclasses import replace
from typing import TypeVar

from search.architecture import Architecture
from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.preset import PresetSpace
from search.spaces.registry import parse_space

Space = TypeVar("Space", bound=LayeredSpace)


def classes_of(space: LayeredSpace) -> int:
    """How many classes the networks of a space tell apart."""
    return space.after[-1].out_channels


def space_with_classes(space: Space, classes: int) -> Space:
    """The same space for another number of classes; its layers and choices stay.

    Raises:
        UsageError: Fewer than two classes, or a space that is not made from a preset.
    """
    if classes == classes_of(space):
        return space
    if not isinstance(space, PresetSpace):
        raise UsageError(
            f"{space.label} has {classes_of(space)} classes and cannot be made for {classes}.",
            "Give images of as many classes.",
        )
    return replace(space, classes=classes)


def network_with_classes(network: Architecture, classes: int) -> Architecture:
    """The same network with a classifier of that many classes.

    Raises:
        UsageError: Fewer than two classes, or a network that does not end in a classifier.
    """
    last = network.operators[-1]
    if last.kind != "classifier":
        raise UsageError(
            f"{network.name} ends in {last.key}, which is no classifier.",
            "Name an architecture that goes from an image to classes.",
        )
    if classes < 2:
        raise UsageError(f"{classes} classes leave nothing to tell apart.", "Ask for two.")
    if classes == network.classes:
        return network
    return Architecture(
        name=network.name,
        operators=(*network.operators[:-1], replace(last, out_channels=classes)),
        space=_spec_with_classes(network.space, classes),
    )


def _spec_with_classes(spec: str | None, classes: int) -> str | None:
    """The spec of the same space for other classes; None for a space that is not known."""
    try:
        return None if spec is None else space_with_classes(parse_space(spec), classes).spec
    except UsageError:
        return None
