"""Search methods by name; outside methods come by the entry point `search_algorithms`.

A method is a class that is called as

    Method(space, costs, *, recipe, target_us, build, checkpoint)

and keeps the promises of `search.algorithms.base.Searching`. It is imported,
and torch with it, only when it is chosen.
"""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from search.errors import UsageError

GROUP = "search_algorithms"
_CLASSES: dict[str, str] = {"fbnet": "search.algorithms.fbnet:FBNetSearch"}


def register(name: str, target: str) -> None:
    """Add a method of this process.

    Args:
        name: What command lines call it.
        target: `module:Class`, imported when first asked for.

    Raises:
        UsageError: The name is taken, or the target is not `module:Class`.
    """
    if name in algorithm_names():
        raise UsageError(
            f"Two methods claim the name {name!r}.", f"Taken: {', '.join(algorithm_names())}."
        )
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f"{target!r} does not name a class.", "Write module:Class.")
    _CLASSES[name] = target


def algorithm_names() -> tuple[str, ...]:
    """Names that `algorithm_class` knows."""
    outside = (point.name for point in entry_points(group=GROUP))
    return tuple(dict.fromkeys((*_CLASSES, *outside)))


def algorithm_class(name: str) -> type[Any]:
    """The class of a method.

    Raises:
        UsageError: Unknown name, or one that two methods claim.
    """
    outside = [point for point in entry_points(group=GROUP) if point.name == name]
    if len(outside) + (name in _CLASSES) > 1:
        raise UsageError(f"Two methods claim the name {name!r}.", "Uninstall one of them.")
    if outside:
        loaded: type[Any] = outside[0].load()
        return loaded
    if name not in _CLASSES:
        raise UsageError(
            f"Unknown search method {name!r}.", f"Known: {', '.join(algorithm_names())}."
        )
    module, _, attribute = _CLASSES[name].partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found
