"""Spaces of MobileNetV4's universal inverted bottleneck.

Source: MobileNetV4 (arXiv 2404.10518), section 4: one block whose depthwise
convolutions before the first 1x1 and in the middle are both optional. With the
middle alone it is an inverted bottleneck (`ib`), with the start alone
ConvNeXt's block (`convnext`), with both `extradw`, with neither a feed-forward
(`ffn`). `uib` stands in the frame of MobileNetV4-Conv-S (Table 11), whose
searched layers are its last two stages; `uib-mini` is ours, for 32x32 images and
a CPU. The paper searches per layer as here; its own candidates are not printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from search.operators.spec import OperatorSpec
from search.spaces.base import Choice, Layer
from search.spaces.frame import SKIP, Frame, scale_channels
from search.spaces.preset import Macro, Parts, PresetSpace, Stage


class Bottleneck(NamedTuple):
    """Kernels before the first 1x1 and in the middle (0 is none), and expansion."""

    start_kernel: int
    kernel: int
    expansion: int


BOTTLENECKS = {
    "ib_k3_e2": Bottleneck(0, 3, 2),
    "ib_k3_e4": Bottleneck(0, 3, 4),
    "ib_k5_e4": Bottleneck(0, 5, 4),
    "convnext_k3_e4": Bottleneck(3, 0, 4),
    "convnext_k5_e4": Bottleneck(5, 0, 4),
    "extradw_k3_k3_e4": Bottleneck(3, 3, 4),
    "extradw_k3_k5_e4": Bottleneck(3, 5, 4),
    "extradw_k5_k3_e4": Bottleneck(5, 3, 4),
    "ffn_e2": Bottleneck(0, 0, 2),
    "ffn_e4": Bottleneck(0, 0, 4),
}

PRESETS = {
    # Its stem is five convolutions, of stride 8 together.
    "uib": Macro(32, 8, (Stage(96, 6, 2), Stage(128, 6, 2)), 960, 224, 1000),
    "uib-mini": Macro(16, 1, (Stage(24, 2, 2), Stage(40, 2, 2), Stage(80, 1, 2)), 256, 32, 10),
}
# Kernel, channels and stride of the convolutions before the layers; hidden channels behind the
# pool.
STEMS = {
    "uib": ((3, 32, 2), (3, 32, 2), (1, 32, 1), (3, 96, 2), (1, 64, 1)),
    "uib-mini": ((3, 16, 1),),
}
HIDDEN = {"uib": 1280, "uib-mini": 0}


@dataclass(frozen=True, kw_only=True)
class UniversalSpace(PresetSpace):
    """Layers that choose among universal inverted bottlenecks, and a skip where shapes agree."""

    presets: ClassVar[Mapping[str, Macro]] = PRESETS
    candidates: ClassVar[tuple[str, ...]] = (*BOTTLENECKS, SKIP)

    preset: str = "uib"

    def _build(self, macro: Macro) -> Parts:
        frame = Frame(self.always_pointwise, self.batch, self.dtype)
        channels, size, before = 3, self.resolution, []
        for kernel, plain, stride in STEMS[self.preset]:
            out = scale_channels(plain, self.width)
            before.append(frame.conv(kernel, channels, out, size, stride))
            channels, size = out, size // stride
        layers = []
        for number, stage in enumerate(macro.stages, 1):
            out = scale_channels(stage.channels, self.width)
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                choices = (
                    Choice(name=name, operator=operator)
                    for name in self.candidates
                    if (operator := self._operator(frame, name, channels, out, size, stride))
                )
                layers.append(Layer(name=f"stage{number}.{repeat + 1}", choices=tuple(choices)))
                channels, size = out, size // stride
        head = frame.conv(1, channels, self.head_channels, size, 1)
        classifier = frame.classifier(self.head_channels, self.classes, size)
        if hidden := HIDDEN[self.preset]:
            classifier = replace(classifier, mid_channels=hidden, activation="relu")
        return tuple(before), tuple(layers), (head, classifier)

    def _operator(
        self, frame: Frame, name: str, into: int, out: int, size: int, stride: int
    ) -> OperatorSpec | None:
        """A candidate by its name; None where it cannot stride, or is no identity."""
        same = stride == 1 and into == out
        if name == SKIP:
            return frame.identity(into, size) if same else None
        block = BOTTLENECKS[name]
        if stride > 1 and not (block.start_kernel or block.kernel):
            return None
        return OperatorSpec(
            kind="uib",
            start_kernel=block.start_kernel,
            kernel=block.kernel,
            expansion=block.expansion,
            mid_channels=block.expansion * into,
            activation="relu",
            in_channels=into,
            out_channels=out,
            height=size,
            width=size,
            stride=stride,
            residual=same,
            batch=self.batch,
            dtype=self.dtype,
        )
