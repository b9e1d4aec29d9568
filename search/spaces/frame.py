"""Blocks at absolute channels, as masked spaces derive and published FBNetV2s list them.

Their expansion is not spelled: with widths that were searched it is no round
number, and the middle channels say all.
"""

from search.operators.spec import OperatorSpec
from search.spaces.fbnet import Frame


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
    """What all operators of a network share; makes blocks by their channels."""

    def inverted(
        self,
        words: str,
        channels: tuple[int, int, int],
        size: int,
        stride: int,
        *,
        residual: bool | None = None,
        first_pointwise: bool | None = None,
    ) -> OperatorSpec:
        """An inverted residual block.

        Args:
            words: Kernel, activation and `se`, as `k3_hswish_se`.
            channels: In, in the middle, out.
            size: Height and width of the input.
            stride: Of the depthwise convolution.
            residual: None means wherever it fits.
            first_pointwise: None means wherever it widens, or the frame keeps it.
        """
        kernel, activation, *squeeze = words.split("_")
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
        return OperatorSpec(
            kind="skip",
            in_channels=into,
            height=size,
            width=size,
            batch=self.batch,
            dtype=self.dtype,
        )
