"""Spaces made from presets: resolution, width, classes and dtype, and their spec."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from search.errors import UsageError
from search.operators.spec import DTYPES, LARGEST, OperatorSpec
from search.spaces.base import Layer, LayeredSpace

# Fixed operators before the layers, the layers, fixed operators after them.
Parts = tuple[tuple[OperatorSpec, ...], tuple[Layer, ...], tuple[OperatorSpec, ...]]


class Stage(NamedTuple):
    """One searched row of a printed frame."""

    channels: int
    repeats: int
    stride: int


class Macro(NamedTuple):
    """The fixed frame of a space."""

    stem_channels: int
    stem_stride: int
    stages: tuple[Stage, ...]
    head_channels: int
    resolution: int
    classes: int
    # Fixed blocks of stride 1 round the searched ones: name and channels.
    first: tuple[tuple[str, int], ...] = ()
    last: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PresetSpace(LayeredSpace, ABC):
    """A family of spaces at one resolution, width, class count and dtype.

    A family names its `presets` and builds its parts from one. `spec` holds
    all fields, so that `parse_spec` rebuilds the space.

    Attributes:
        preset: A name of `presets`.
        resolution, classes, head_channels: 0 takes the preset's.
        width: Multiplier of all channels.
        always_pointwise: Keep the first 1x1 convolution of a block whose
            expansion is 1. FBNet's spaces do by default, as the paper's Figure
            3 and the release of 2019 do; a later release drops it, and so do
            the other families.

    Raises:
        UsageError: The strides do not divide the resolution, or a value is
            out of range.
    """

    presets: ClassVar[Mapping[str, Macro]]

    preset: str
    resolution: int = 0
    width: float = 1.0
    classes: int = 0
    head_channels: int = 0
    always_pointwise: bool = False
    batch: int = 1
    dtype: str = "fp32"
    spec: str = field(init=False)
    before: tuple[OperatorSpec, ...] = field(init=False, repr=False)
    layers: tuple[Layer, ...] = field(init=False, repr=False)
    after: tuple[OperatorSpec, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        macro = self._preset()
        for name, default in (
            ("resolution", macro.resolution),
            ("classes", macro.classes),
            ("head_channels", macro.head_channels),
        ):
            if not getattr(self, name):
                object.__setattr__(self, name, default)
        self._check(macro)
        # As many digits as the spec shows, so that the spec rebuilds this space.
        object.__setattr__(self, "width", float(f"{self.width:.6g}"))
        object.__setattr__(self, "spec", self._spec())
        for name, value in zip(("before", "layers", "after"), self._build(macro), strict=True):
            object.__setattr__(self, name, value)

    def _preset(self) -> Macro:
        """The preset that the space is made from.

        Raises:
            UsageError: The family has none of this name.
        """
        if self.preset not in self.presets:
            raise UsageError(
                f"Unknown preset {self.preset!r}.", f"Known: {', '.join(self.presets)}."
            )
        return self.presets[self.preset]

    def _check(self, macro: Macro) -> None:
        stride = macro.stem_stride
        for stage in macro.stages:
            stride *= stage.stride
        if self.resolution < stride or self.resolution % stride:
            raise UsageError(
                f"The strides of {self.preset} do not divide a resolution of {self.resolution}.",
                f"Take a positive multiple of {stride}.",
            )
        if not 0.05 <= self.width <= 4:
            raise UsageError(f"A width multiplier of {self.width} is outside 0.05 to 4.")
        if self.classes < 2:
            raise UsageError(
                f"{self.classes} class leaves nothing to tell apart.", "Ask for two classes."
            )
        sizes = (self.classes, self.head_channels, self.batch)
        if min(sizes) < 1:
            raise UsageError("Head channels and batch must be at least 1.")
        if max(self.resolution, *sizes) > LARGEST:
            raise UsageError(
                f"A resolution, classes, head channels or a batch beyond {LARGEST} cannot be."
            )
        if self.dtype not in DTYPES:
            raise UsageError(f"Unknown dtype {self.dtype!r}.", f"Known: {', '.join(DTYPES)}.")

    def _spec(self) -> str:
        return (
            f"{self.preset}-r{self.resolution}-x{self.width:.6g}-c{self.classes}"
            f"-h{self.head_channels}-p{self.always_pointwise:d}-b{self.batch}-{self.dtype}"
        )

    @abstractmethod
    def _build(self, macro: Macro) -> Parts:
        """The parts of the space, from its preset."""


# What every spec says behind the name of its space, as `PresetSpace` writes it.
TAIL = (
    r"r(?P<resolution>[0-9]{1,9})-x(?P<width>[0-9]{1,9}(?:\.[0-9]{1,9})?)"
    r"-c(?P<classes>[0-9]{1,9})-h(?P<head_channels>[0-9]{1,9})-p(?P<always_pointwise>[01])"
    r"-b(?P<batch>[0-9]{1,9})-(?P<dtype>\w+)"
)
_SPEC = re.compile(rf"(?P<preset>[a-z0-9+-]+?)-{TAIL}")


def values_of(match: re.Match[str]) -> dict[str, Any]:
    """The fields of a space that a spec says."""
    return {
        "preset": match["preset"],
        "resolution": int(match["resolution"]),
        "width": float(match["width"]),
        "classes": int(match["classes"]),
        "head_channels": int(match["head_channels"]),
        "always_pointwise": match["always_pointwise"] == "1",
        "batch": int(match["batch"]),
        "dtype": match["dtype"],
    }


def parse_spec(spec: str, family: type[PresetSpace]) -> PresetSpace | None:
    """Rebuild a space of a family from its `spec`; None when it is of another family.

    Raises:
        UsageError: Not canonical, or values that the space cannot take.
    """
    match = _SPEC.fullmatch(spec)
    if not match or match["preset"] not in family.presets:
        return None
    space = family(**values_of(match))
    if space.spec != spec:
        raise UsageError(f"{spec!r} is not canonical.", f"Write {space.spec}.")
    return space
