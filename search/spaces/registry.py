"""Spaces by name: the one list that the command lines offer."""

from search.errors import UsageError
from search.spaces.base import LayeredSpace
from search.spaces.fbnet import FBNetSpace
from search.spaces.fbnetv2.space import MaskedSpace
from search.spaces.fp_nas.space import SlicedSpace
from search.spaces.nas_bench_macro import NasBenchMacroSpace
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
    """Names that `make_space` knows."""
    return tuple(name for family in _FAMILIES for name in family.presets)


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
    """Build a space by name; None means the space's own default.

    Raises:
        UsageError: Unknown name, or values that the space cannot take.
    """
    if name not in space_names():
        raise UsageError(f"Unknown space {name!r}.", f"Known: {', '.join(space_names())}.")
    for label, value in (
        ("resolution", resolution),
        ("classes", classes),
        ("head channels", head_channels),
    ):
        if value is not None and value < 1:
            raise UsageError(f"The {label} must be at least 1, not {value}.")
    family = next(family for family in _FAMILIES if name in family.presets)
    return family(
        preset=name,
        resolution=resolution or 0,
        width=width,
        classes=classes or 0,
        head_channels=head_channels or 0,
        always_pointwise=family.always_pointwise if always_pointwise is None else always_pointwise,
        batch=batch,
        dtype=dtype,
    )


def parse_space(spec: str) -> LayeredSpace:
    """Rebuild the space that a table or an architecture names.

    Raises:
        UsageError: No known family wrote this spec.
    """
    for family in _FAMILIES:
        space = parse_spec(spec, family)
        if space is not None:
            return space
    raise UsageError(f"Unknown space {spec[:200]!r}.", "Update the kit, or check the table.")
