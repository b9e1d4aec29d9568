"""Networks drawn as in FBNet's Figure 4: one bar a block, colour kernel, height expansion."""

from collections.abc import Iterator
from dataclasses import dataclass

from search.architecture import Architecture
from search.operators.spec import OperatorSpec
from search.operators.words import short_name

_STEP, _BAR = 28, 22
_TALLEST_PX, _TOP, _BOTTOM = 84, 18, 40
_LEAST_EXPANSION_SHOWN = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One layer; `kernel` 0 is a skip. Lengths are in the drawing's units."""

    x: float
    y: float
    height: float
    kernel: int
    grouped: bool
    squeezed: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnStage:
    """The start of a stage: its output channels and its size."""

    x: float
    channels: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A network ready to be drawn."""

    name: str
    facts: str
    width: float
    height: float
    base: float
    bar_width: float
    bars: tuple[Bar, ...]
    stages: tuple[DrawnStage, ...]
    words: str


def draw_network(network: Architecture) -> Drawing:
    """The searched layers of a network as bars; stem, head and classifier are left out."""
    layers = [o for o in network.operators if o.kind in ("ir", "uib", "skip")]
    tallest = max([_LEAST_EXPANSION_SHOWN, *map(_expansion, layers)])
    base = _TOP + _TALLEST_PX
    return Drawing(
        name=network.name,
        facts=f"{network.flops / 1e6:.0f}M FLOPs, {network.params / 1e6:.2f}M parameters, "
        f"{network.resolution} px",
        width=_STEP * len(layers) + 8,
        height=base + _BOTTOM,
        base=base,
        bar_width=_BAR,
        bars=tuple(_bar(o, 4 + _STEP * n, base, tallest) for n, o in enumerate(layers)),
        stages=tuple(_stages(layers)),
        words=", ".join(short_name(o.key) for o in layers),
    )


def _bar(operator: OperatorSpec, x: float, base: float, tallest: float) -> Bar:
    skip = operator.kind == "skip"
    height = 3.0 if skip else max(_TALLEST_PX * _expansion(operator) / tallest, 6.0)
    return Bar(
        x=x,
        y=base - height,
        height=height,
        kernel=0 if skip else operator.kernel,
        grouped=operator.groups > 1,
        squeezed=operator.squeeze_channels > 0,
        title=short_name(operator.key),
    )


def _expansion(operator: OperatorSpec) -> float:
    """The ratio as built, which keys do not spell where channels are absolute."""
    block = operator.kind in ("ir", "uib")
    return operator.mid_channels / operator.in_channels if block else 0.0


def _stages(layers: list[OperatorSpec]) -> Iterator[DrawnStage]:
    previous = None
    for number, operator in enumerate(layers):
        channels = operator.in_channels if operator.kind == "skip" else operator.out_channels
        shape = channels, operator.out_height
        if shape != previous:
            yield DrawnStage(x=4 + _STEP * number, channels=channels, size=operator.out_height)
        previous = shape
