"""Operators of a network's frame, and blocks by absolute channels.

Candidates of FBNet are named by kernel, expansion and groups (arXiv
1812.03443, Table 2). Masked spaces derive, and published FBNetV2s list, blocks
by their channels: with widths that were searched the expansion is not a round
number, and the middle channels state it.
"""

from typing import NamedTuple

from search.operators.spec import OperatorSpec

BLOCKS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6")
SKIP = "skip"


def scale_channels(channels: int, width: float) -> int:
    """Channels under a width multiplier: rounded *up* to a multiple of 8.

    Rounding up is what the released FBNet-96-0.35 shows (24 * 0.35 = 8.4
    becomes 16), unlike MobileNetV2's rounding to the nearest.
    """
    return channels if width == 1 else 8 * -int(-channels * width // 8)


class Frame(NamedTuple):
    """Settings that all operators of a network share; makes its fixed operators."""

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

    def identity(self, channels: int, size: int) -> OperatorSpec:
        """A skip between equal shapes, which costs nothing."""
        return OperatorSpec(
            kind="skip",
            in_channels=channels,
            height=size,
            width=size,
            batch=self.batch,
            dtype=self.dtype,
        )


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and not below 90 % of the exact value.

    The rounding of the authors' release (facebookresearch/mobile-vision): a
    middle width of 5.4566 * 8 is 40 there.
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def squeezed(mid: int) -> int:
    """Squeezed channels: a quarter of the middle ones, rounded as they are."""
    return multiple_of_8(mid / 4)


class AbsoluteFrame(Frame):
    """A frame that makes blocks by their channels."""

    def inverted(
        self,
        name: str,
        channels: tuple[int, int, int],
        size: int,
        stride: int,
        *,
        residual: bool | None = None,
        first_pointwise: bool | None = None,
    ) -> OperatorSpec:
        """An inverted residual block.

        Args:
            name: Kernel, activation and `se`, as `k3_hswish_se`.
            channels: In, in the middle, out.
            size: Height and width of the input.
            stride: Of the depthwise convolution.
            residual: None means wherever it fits.
            first_pointwise: None means wherever it widens, or the frame keeps it.
        """
        kernel, activation, *squeeze = name.split("_")
        into, mid, out = channels
        fits = stride == 1 and into == out
        return OperatorSpec(
            kind="ir",
            kernel=int(kernel.removeprefix("k")),
            mid_channels=mid,
            squeeze_channels=squeezed(mid) if squeeze else 0,
            activation=activation,
            in_channels=into,
            out_channels=out,
            height=size,
            width=size,
            stride=stride,
            residual=fits if residual is None else residual,
            first_pointwise=(
                self.always_pointwise or mid != into if first_pointwise is None else first_pointwise
            ),
            batch=self.batch,
            dtype=self.dtype,
        )

    def skip(self, into: int, out: int, size: int) -> OperatorSpec:
        """The identity; between different widths a 1x1 convolution, batch norm and ReLU.

        So the authors' release builds it (FBNetV2-F1 has one from 56 to 80
        channels), and so it costs something.
        """
        if into != out:
            return self.conv(1, into, out, size, 1)
        return self.identity(into, size)


def steps(low: float, high: float, step: float) -> tuple[float, ...]:
    """The values of an inclusive range."""
    return tuple(low + step * number for number in range(round((high - low) / step) + 1))
