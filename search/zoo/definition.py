"""Definition of a published network as strings, and its operators.

A stage is written `channels stride: block block ...`. A block is a name of the
FBNet space (its Table 2), as `k5_e3`; or kernel, middle channels, activation
and perhaps squeeze-excite, as `k5_m112_hswish_se`. The middle channels are
absolute (m112) or an expansion (e6); `k3sep` is two depthwise convolutions in a
row. Squeezed channels are a quarter of the middle ones, or stated with their
gate, as `se8-sigmoid`. `-` is a skip, which costs something between different widths.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from search.errors import UsageError
from search.operators.spec import OperatorSpec
from search.spaces.frame import BLOCKS, AbsoluteFrame
from search.spaces.layout.block import Place
from search.spaces.layout.words import parse_words

_BLOCK = re.compile(
    r"(?P<kernel>k\d+)(?P<twice>sep)?_(?P<unit>[em])(?P<middle>\d+)(?P<activation>_[a-z]+6?)?"
    r"(?:_se(?P<squeezed>\d+-[a-z]+)?(?P<quarter>))?"
)


class Published(NamedTuple):
    """Figures that a paper prints of a network, None where it does not; latencies in ms."""

    flops_m: float | None
    params_m: float | None
    top1: float | None
    latency_ms: tuple[tuple[str, float], ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A published network and its figures.

    `always_pointwise` is the convention that the published definition
    follows for the first 1x1 at expansion 1. `activation` is that of stem,
    head and hidden layer; `hidden_channels` lie between pool and classifier.
    """

    name: str
    resolution: int
    stem_channels: int
    stages: tuple[str, ...]
    head_channels: int
    always_pointwise: bool
    published: Published
    remark: str = ""
    classes: int = 1000
    activation: str = "relu"
    hidden_channels: int = 0

    def operators(self, keep: bool, dtype: str) -> Iterator[OperatorSpec]:
        """From the image to the classes.

        Args:
            keep: Keep the first 1x1 where it does not widen.
            dtype: Number format of all operators.

        Raises:
            UsageError: A word that is not a block.
        """
        frame = AbsoluteFrame(keep, 1, dtype)
        channels, size = self.stem_channels, self.resolution
        yield frame.conv(3, 3, channels, size, 2, self.activation)
        size //= 2
        for stage in self.stages:
            numbers, _, blocks = stage.partition(":")
            out_channels, stride = (int(word) for word in numbers.split())
            for word in blocks.split():
                yield _block(frame, word, channels, out_channels, size, stride)
                channels, size, stride = out_channels, size // stride, 1
        yield frame.conv(1, channels, self.head_channels, size, 1, self.activation)
        classifier = frame.classifier(self.head_channels, self.classes, size)
        if self.hidden_channels:
            hidden = {"mid_channels": self.hidden_channels, "activation": self.activation}
            classifier = replace(classifier, **hidden)  # type: ignore[arg-type]
        yield classifier


def _block(
    frame: AbsoluteFrame, word: str, into: int, out: int, size: int, stride: int
) -> OperatorSpec:
    if word == "-" and stride == 1:
        return frame.skip(into, out, size)
    if word in BLOCKS:
        block = parse_words(word).operator(frame, Place(into, out, size, stride))
        assert block is not None
        return block
    match = _BLOCK.fullmatch(word)
    if match is None:
        raise UsageError(f"{word!r} is no block of a published network at stride {stride}.")
    return _inverted(frame, match, (into, out), size, stride)


def _inverted(
    frame: AbsoluteFrame, match: re.Match[str], channels: tuple[int, int], size: int, stride: int
) -> OperatorSpec:
    into, out = channels
    middle, relative = int(match["middle"]), match["unit"] == "e"
    plain = match["kernel"] + (match["activation"] or "_relu")
    squeezes = match["quarter"] is not None and match["squeezed"] is None
    block = frame.inverted(
        plain + ("_se" if squeezes else ""),
        (into, middle * into if relative else middle, out),
        size,
        stride,
    )
    if relative:
        block = replace(block, expansion=float(middle))
    if match["twice"]:
        block = replace(block, depthwise=2)
    if match["squeezed"]:
        squeezed, gate = match["squeezed"].split("-")
        block = replace(block, squeeze_channels=int(squeezed), gate=gate)
    return block
