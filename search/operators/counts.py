"""FLOPs, parameters and bytes of an operator, counted from its spec.

FLOPs are multiply-adds of convolutions and matrix products (the papers'
convention); parameters include batch norm's scale and shift and the
classifier's bias (its hidden layer has none). Byte counts are features of the
latency model.
"""

from dataclasses import dataclass

from search.operators.spec import OperatorSpec

BYTES = {"fp32": 4, "fp16": 2, "int8": 1, "w8": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """FLOPs, parameters, and bytes of input, output, middle and weights."""

    flops: int
    params: int
    input_bytes: int
    output_bytes: int
    middle_bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution inside an operator, followed by batch norm."""

    kernel: int
    groups: int
    in_channels: int
    out_channels: int
    out_pixels: int

    @property
    def weights(self) -> int:
        """Weights without bias or norm."""
        return self.kernel**2 * self.in_channels * self.out_channels // self.groups

    @property
    def flops(self) -> int:
        """Multiply-adds for one image."""
        return self.weights * self.out_pixels


def convolutions(spec: OperatorSpec) -> tuple[Convolution, ...]:
    """The operator's convolutions in order of execution, without squeeze-excite.

    Split-Attention has a depthwise convolution a split, counted as one.
    """
    pixels_in, pixels_out = spec.height * spec.width, spec.out_height * spec.out_width
    if spec.kind == "conv":
        return (
            Convolution(spec.kernel, spec.groups, spec.in_channels, spec.out_channels, pixels_out),
        )
    if spec.kind == "uib":
        return _universal(spec)
    if spec.kind != "ir":
        return ()
    mid = spec.mid_channels
    first = Convolution(1, spec.groups, spec.in_channels, mid, pixels_in)
    depthwise = Convolution(spec.kernel, mid, mid, mid * spec.splits, pixels_out)
    last = Convolution(1, spec.groups, mid, spec.out_channels, pixels_out)
    middle = (depthwise,) * spec.depthwise
    return (first, *middle, last) if spec.first_pointwise else (*middle, last)


def _universal(spec: OperatorSpec) -> tuple[Convolution, ...]:
    """Depthwise, 1x1, depthwise, 1x1; the first and the third may be absent."""
    into, mid = spec.in_channels, spec.mid_channels
    after = spec.out_height * spec.out_width
    between = spec.height * spec.width if spec.kernel else after
    parts = [
        Convolution(spec.start_kernel, into, into, into, between),
        Convolution(1, 1, into, mid, between),
        Convolution(spec.kernel, mid, mid, mid, after),
        Convolution(1, 1, mid, spec.out_channels, after),
    ]
    return tuple(part for part in parts if part.kernel)


def count(spec: OperatorSpec) -> Counts:
    """Count one operator at its batch size."""
    convs = convolutions(spec)
    flops = sum(conv.flops for conv in convs)
    params = sum(conv.weights + 2 * conv.out_channels for conv in convs)
    if spec.squeeze_channels:
        gated = spec.mid_channels * spec.splits
        squeeze = (spec.mid_channels + gated) * spec.squeeze_channels
        flops += squeeze
        params += squeeze + gated + spec.squeeze_channels
    if spec.kind == "classifier":
        hidden = spec.mid_channels
        weights = spec.in_channels * hidden + (hidden or spec.in_channels) * spec.out_channels
        flops += weights
        params += weights + spec.out_channels
    size, batch = BYTES[spec.dtype], spec.batch
    pooled = spec.kind in ("classifier", "pool")
    out_pixels = 1 if pooled else spec.out_height * spec.out_width
    out_channels = spec.in_channels if spec.kind == "pool" else spec.out_channels
    middle = sum(conv.out_channels * conv.out_pixels for conv in convs[:-1])
    return Counts(
        flops=flops * batch,
        params=params,
        input_bytes=size * batch * spec.in_channels * spec.height * spec.width,
        output_bytes=size * batch * out_channels * out_pixels,
        middle_bytes=size * batch * middle,
        weight_bytes=params * (1 if spec.dtype == "w8" else size),
    )


def memory_bytes(spec: OperatorSpec) -> int:
    """Bytes that an operator adds to a network: weights, intermediate results, output."""
    if spec.kind == "skip":
        return 0
    counts = count(spec)
    return counts.weight_bytes + counts.middle_bytes + counts.output_bytes
