"""The FBNet space: 22 searched layers, nine candidates each.

Source: FBNet (arXiv 1812.03443), Table 1 (macro-architecture) and Table 2
(candidate blocks). Skip is legal only where input and output agree, which
leaves 192 candidates and 9^16 * 8^6 networks (the paper's 9^22 ignores that).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from search.errors import UsageError
from search.operators.spec import DTYPES, OperatorSpec
from search.spaces.base import Choice, Layer, LayeredSpace


class Block(NamedTuple):
    """One row of the paper's Table 2."""

    kernel: int
    expansion: int
    groups: int


class Stage(NamedTuple):
    """One searched row of the paper's Table 1."""

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


BLOCKS = {
    "k3_e1": Block(3, 1, 1),
    "k3_e1_g2": Block(3, 1, 2),
    "k3_e3": Block(3, 3, 1),
    "k3_e6": Block(3, 6, 1),
    "k5_e1": Block(5, 1, 1),
    "k5_e1_g2": Block(5, 1, 2),
    "k5_e3": Block(5, 3, 1),
    "k5_e6": Block(5, 6, 1),
}
SKIP = "skip"


def _stages(*rows: tuple[int, int, int]) -> tuple[Stage, ...]:
    return tuple(Stage(*row) for row in rows)


_FBNET = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
# The printed strides reduce a 32x32 image to one pixel; these keep 4x4.
_CIFAR = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
_MINI = ((16, 1, 1), (24, 2, 2), (40, 2, 2), (80, 1, 2))

PRESETS = {
    "fbnet": Macro(16, 2, _stages(*_FBNET), 1984, 224, 1000),
    "fbnet-cifar": Macro(16, 1, _stages(*_CIFAR), 1984, 32, 10),
    "fbnet-mini": Macro(16, 1, _stages(*_MINI), 256, 32, 10),
}


def scale_channels(channels: int, width: float) -> int:
    """Channels under a width multiplier: rounded *up* to a multiple of 8.

    Rounding up is what the released FBNet-96-0.35 shows (24 * 0.35 = 8.4
    becomes 16), unlike MobileNetV2's rounding to the nearest.
    """
    return channels if width == 1 else 8 * -int(-channels * width // 8)


@dataclass(frozen=True, kw_only=True)
class FBNetSpace(LayeredSpace):
    """The FBNet space at one resolution, width, class count and dtype.

    `always_pointwise` keeps the first 1x1 convolution of a block whose
    expansion is 1, as the paper draws it; the authors' release drops it, and
    so does the default.

    Raises:
        UsageError: The strides do not divide the resolution, or a value is
            out of range.
    """

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (*BLOCKS, SKIP)

    preset: str = "fbnet"
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
        if self.preset not in self.presets:
            raise UsageError(
                f"Unknown preset {self.preset!r}.", f"Known: {', '.join(self.presets)}."
            )
        macro = self.presets[self.preset]
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
        if self.classes < 1 or self.head_channels < 1 or self.batch < 1:
            raise UsageError("Classes, head channels and batch must be at least 1.")
        if self.dtype not in DTYPES:
            raise UsageError(f"Unknown dtype {self.dtype!r}.", f"Known: {', '.join(DTYPES)}.")

    def _spec(self) -> str:
        return (
            f"{self.preset}-r{self.resolution}-x{self.width:.6g}-c{self.classes}"
            f"-h{self.head_channels}-p{self.always_pointwise:d}-b{self.batch}-{self.dtype}"
        )

    def _build(
        self, macro: Macro
    ) -> tuple[tuple[OperatorSpec, ...], tuple[Layer, ...], tuple[OperatorSpec, ...]]:
        channels, size = scale_channels(macro.stem_channels, self.width), self.resolution
        frame = Frame(self.always_pointwise, self.batch, self.dtype)
        stem = frame.conv(3, 3, channels, size, macro.stem_stride)
        size //= macro.stem_stride
        first, channels = self._fixed(frame, macro.first, channels, size)
        layers = []
        for number, stage in enumerate(macro.stages, 1):
            out_channels = scale_channels(stage.channels, self.width)
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                choices = (
                    Choice(name=name, operator=operator)
                    for name in self.candidates
                    if (operator := frame.block(name, channels, out_channels, size, stride))
                )
                layers.append(Layer(name=f"stage{number}.{repeat + 1}", choices=tuple(choices)))
                channels, size = out_channels, size // stride
        last, channels = self._fixed(frame, macro.last, channels, size)
        head = frame.conv(1, channels, self.head_channels, size, 1)
        classifier = frame.classifier(self.head_channels, self.classes, size)
        return (stem, *first), tuple(layers), (*last, head, classifier)

    def _fixed(
        self, frame: "Frame", blocks: tuple[tuple[str, int], ...], channels: int, size: int
    ) -> tuple[list[OperatorSpec], int]:
        """Blocks that every network has, and the channels behind them."""
        made = []
        for name, plain in blocks:
            out_channels = scale_channels(plain, self.width)
            operator = frame.block(name, channels, out_channels, size, 1)
            assert operator is not None
            made.append(operator)
            channels = out_channels
        return made, channels


class Frame(NamedTuple):
    """What all operators of a network share; makes them by their short names."""

    always_pointwise: bool
    batch: int
    dtype: str

    def conv(
        self,
        kernel: int,
        in_channels: int,
        out_channels: int,
        size: int,
        stride: int,
        activation: str = "relu",
    ) -> OperatorSpec:
        """Stem (3x3) or head (1x1)."""
        return OperatorSpec(
            kind="conv",
            kernel=kernel,
            activation=activation,
            in_channels=in_channels,
            out_channels=out_channels,
            height=size,
            width=size,
            stride=stride,
            batch=self.batch,
            dtype=self.dtype,
        )

    def classifier(self, in_channels: int, classes: int, size: int) -> OperatorSpec:
        """Average pool and linear layer."""
        return OperatorSpec(
            kind="classifier",
            in_channels=in_channels,
            out_channels=classes,
            height=size,
            width=size,
            batch=self.batch,
            dtype=self.dtype,
        )

    def block(
        self, name: str, in_channels: int, out_channels: int, size: int, stride: int
    ) -> OperatorSpec | None:
        """A candidate by its name in Table 2; None for a skip that is not legal."""
        same = stride == 1 and in_channels == out_channels
        if name == SKIP:
            return self._skip(in_channels, size) if same else None
        block = BLOCKS[name]
        return OperatorSpec(
            kind="ir",
            kernel=block.kernel,
            expansion=block.expansion,
            mid_channels=block.expansion * in_channels,
            groups=block.groups,
            activation="relu",
            in_channels=in_channels,
            out_channels=out_channels,
            height=size,
            width=size,
            stride=stride,
            residual=same,
            first_pointwise=self.always_pointwise or block.expansion > 1,
            batch=self.batch,
            dtype=self.dtype,
        )

    def _skip(self, channels: int, size: int) -> OperatorSpec:
        return OperatorSpec(
            kind="skip",
            in_channels=channels,
            height=size,
            width=size,
            batch=self.batch,
            dtype=self.dtype,
        )


_SPEC = re.compile(
    r"(?P<preset>[a-z0-9+-]+?)-r(?P<resolution>\d+)-x(?P<width>\d+(?:\.\d+)?)-c(?P<classes>\d+)"
    r"-h(?P<head_channels>\d+)-p(?P<always_pointwise>[01])-b(?P<batch>\d+)-(?P<dtype>\w+)"
)


def parse_spec(spec: str, family: type[FBNetSpace] = FBNetSpace) -> FBNetSpace | None:
    """Rebuild a space from its `spec`; None when the text is of another family.

    Raises:
        UsageError: Not canonical, or values that the space cannot take.
    """
    match = _SPEC.fullmatch(spec)
    if not match or match["preset"] not in family.presets:
        return None
    space = family(
        preset=match["preset"],
        resolution=int(match["resolution"]),
        width=float(match["width"]),
        classes=int(match["classes"]),
        head_channels=int(match["head_channels"]),
        always_pointwise=match["always_pointwise"] == "1",
        batch=int(match["batch"]),
        dtype=match["dtype"],
    )
    if space.spec != spec:
        raise UsageError(f"{spec!r} is not canonical.", f"Write {space.spec}.")
    return space
