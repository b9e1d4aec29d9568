"""Spaces by name: the one list that the command lines offer."""

import re
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.custom.definition import SpaceDefinition, parse_custom
from search.spaces.fbnet import FBNetSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.nas_bench_macro import NasBenchMacroSpace
from search.spaces.plugins import load_space, origin_of, outside_spaces
from search.spaces.preset import PresetSpace, parse_spec
from search.spaces.single_path import SinglePathSpace
from search.spaces.uib import UniversalSpace

_FAMILIES: tuple[type[PresetSpace], ...] = (
    FBNetSpace,
    SinglePathSpace,
    UniversalSpace,
    NasBenchMacroSpace,
    MaskedSpace,
    SlicedSpace,
)


def space_names() -> tuple[str, ...]:
    """Names of the kit's own spaces."""
    return tuple(name for family in _FAMILIES for name in family.presets)


def known_names() -> tuple[str, ...]:
    """All names that `make_space` knows: the kit's own, and those of other distributions."""
    return tuple(dict.fromkeys((*space_names(), *outside_spaces())))


def origins(name: str) -> tuple[str, ...]:
    """Where the space of a name comes from: the kit, a distribution, or several that clash."""
    own = ("the kit",) if name in space_names() else ()
    return (*own, *map(origin_of, outside_spaces().get(name, ())))


def make_space(
    name: str,
    *,
    resolution: int | None = None,
    width: float = 1.0,
    classes: int | None = None,
    head_channels: int | None = None,
    always_pointwise: bool | None = None,
    batch: int = 1,
    dtype: str = "fp32",
) -> LayeredSpace:
    """Build a space by name, or from a TOML file; None means the space's own default.

    Raises:
        UsageError: Unknown name, a file that defines no space, or values that the space
            cannot take.
    """
    for label, value in (
        ("resolution", resolution),
        ("classes", classes),
        ("head channels", head_channels),
    ):
        if value is not None and value < 1:
            raise UsageError(f"The {label} must be at least 1, not {value}.")
    found = find_definition(name)
    values: dict[str, Any] = {
        "resolution": resolution or 0,
        "width": width,
        "classes": classes or 0,
        "head_channels": head_channels or 0,
        "batch": batch,
        "dtype": dtype,
    }
    if isinstance(found, SpaceDefinition):
        return found.space(**values, always_pointwise=always_pointwise)
    keep = found.always_pointwise if always_pointwise is None else always_pointwise
    return found(preset=name, **values, always_pointwise=keep)


def find_definition(name: str) -> SpaceDefinition | type[PresetSpace]:
    """What a name or the path of a TOML file stands for: a definition, or the family of a preset.

    Raises:
        UsageError: Unknown, a file that defines no space, two spaces of one name, or a space
            that cannot be loaded.
    """
    if is_file(name):
        return _from_file(name)
    family = next((family for family in _FAMILIES if name in family.presets), None)
    points, claims = outside_spaces().get(name, ()), origins(name)
    if len(claims) > 1:
        raise UsageError(
            f"Two spaces are named {name}: that of {' and that of '.join(claims[:2])}.",
            "Uninstall one of the two, or rename its entry point.",
        )
    if family is not None:
        return family
    if points:
        return load_space(points[0])
    raise UsageError(
        f"Unknown space {name[:200]!r}.",
        f"Known: {', '.join(known_names())}; or give the path of a .toml file.",
    )


def _from_file(path: str) -> SpaceDefinition:
    from search.spaces.custom.document import read_definition

    definition = read_definition(Path(path))
    if definition.name in known_names():
        raise UsageError(
            f"{path}: there is another space named {definition.name}.", "Give it another name."
        )
    return definition


def is_file(text: str) -> bool:
    """Whether a text is meant as the path of a space's file, rather than as a name or a spec."""
    return text.endswith(".toml")


def is_spec(text: str) -> bool:
    """Whether a text is meant as a whole spec, rather than as a name or a path."""
    return not is_file(text) and text not in space_names() and re.search(r"-r\d", text) is not None


def parse_space(spec: str) -> LayeredSpace:
    """Rebuild the space that a table or an architecture names.

    Raises:
        UsageError: No known family wrote this spec.
    """
    for family in _FAMILIES:
        space = parse_spec(spec, family)
        if space is not None:
            return space
    own = parse_custom(spec)
    if own is not None:
        return own
    for point in outside_spaces().get(re.split(r"-r\d", spec)[0], ()):
        outside = load_space(point)
        if isinstance(outside, type) and (found := parse_spec(spec, outside)) is not None:
            return found
    raise UsageError(f"Unknown space {spec[:200]!r}.", "Update the kit, or check the table.")
