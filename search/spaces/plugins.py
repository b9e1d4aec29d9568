"""Spaces that other distributions bring, by the entry point group `fbnet_kit.spaces`.

The name of an entry point is that of its space. What it names is a `SpaceDefinition`, a
function without arguments that returns one, or a class of spaces (`PresetSpace`) that has a
preset of this name. A definition's tables can be read without its distribution, since
their spec holds the layout; a class is needed for reading its tables, too.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from search.errors import UsageError
from search.spaces.custom.definition import SpaceDefinition
from search.spaces.preset import PresetSpace

GROUP = "fbnet_kit.spaces"
Outside = SpaceDefinition | type[PresetSpace]


def outside_spaces() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points of spaces by name, more than one where distributions clash; none is imported."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        others = found.get(point.name, ())
        if origin_of(point) not in map(origin_of, others):  # a folder may be on the path twice
            found[point.name] = (*others, point)
    return found


def load_space(point: EntryPoint) -> Outside:
    """What an entry point brings.

    Raises:
        UsageError: It cannot be imported, raises, or is no space of its name.
    """
    try:
        loaded = point.load()
        if callable(loaded) and not isinstance(loaded, type):
            loaded = loaded()
    except Exception as error:  # whatever code of others may raise
        raise UsageError(
            f"The space {point.name} of {origin_of(point)} cannot be loaded: "
            f"{type(error).__name__}: {str(error)[:200].rstrip('.')}.",
            "Update or uninstall that distribution.",
        ) from error
    if isinstance(loaded, SpaceDefinition) and loaded.name == point.name:
        return loaded
    if (
        isinstance(loaded, type)
        and issubclass(loaded, PresetSpace)
        and point.name in loaded.presets
    ):
        return loaded
    raise UsageError(
        f"The entry point {point.name} of {origin_of(point)} is no space of this name.",
        "It names a SpaceDefinition, a function that returns one, or a class with this preset.",
    )


def origin_of(point: EntryPoint) -> str:
    """The distribution of an entry point."""
    return point.dist.name if point.dist is not None else point.module
