"""Analytic features of operators: arithmetic and memory traffic, from their specs alone."""

import math
from collections.abc import Sequence

import numpy as np

from profiler.analysis.arrays import Array
from search.operators.counts import Convolution, convolutions, count
from search.operators.spec import OperatorSpec

COMPONENTS = (
    "call",
    "pointwise_flops",
    "depthwise_flops",
    "middle_bytes",
    "moved_bytes",
    "weight_bytes",
    "depthwise_outputs",
    "grouped_flops",
    "squeezed_bytes",
    "hswish_outputs",
)
DESCRIPTORS = (
    "log_pointwise_flops",
    "log_depthwise_flops",
    "log_input_bytes",
    "log_output_bytes",
    "log_weight_bytes",
    "log_middle_bytes",
    "kernel",
    "grouped",
    "log_middle_channels",
    "log_height",
    "stride",
    "classifier",
    "conv",
    "squeeze",
    "splits",
    "log_in_channels",
    "log_out_channels",
    "hswish",
    "residual",
)
# Added before the logarithm, so that an operator without any lies near the others.
_OFFSET = 1e3


def component_matrix(operators: Sequence[OperatorSpec]) -> Array:
    """Operators x `COMPONENTS`: time is their sum with weights of at least zero.

    That makes a latency monotone in arithmetic and in bytes.
    """
    return np.array([_components(operator) for operator in operators])


def descriptor_matrix(operators: Sequence[OperatorSpec]) -> Array:
    """Operators x `DESCRIPTORS`: operators that are near here take similar times."""
    return np.array([_descriptors(operator) for operator in operators])


def _split(operator: OperatorSpec) -> tuple[list[Convolution], list[Convolution]]:
    """Dense (1x1, stem, head) and depthwise convolutions."""
    dense: list[Convolution] = []
    depthwise: list[Convolution] = []
    for conv in convolutions(operator):
        (depthwise if conv.groups == conv.in_channels > 1 else dense).append(conv)
    return dense, depthwise


def _components(operator: OperatorSpec) -> tuple[float, ...]:
    counts = count(operator)
    dense, depthwise = _split(operator)
    depthwise_flops = operator.batch * sum(conv.flops for conv in depthwise)
    grouped = operator.batch * sum(conv.flops for conv in dense if conv.groups > 1)
    outputs = operator.batch * sum(conv.out_pixels * conv.out_channels for conv in depthwise)
    activated = sum(conv.out_pixels * conv.out_channels for conv in _activated(operator))
    return (
        1.0,
        counts.flops - depthwise_flops,
        depthwise_flops,
        counts.middle_bytes,
        counts.input_bytes + counts.output_bytes,
        counts.weight_bytes,
        outputs,
        grouped,
        # Squeeze-excite reads the middle tensor once for its means, and scales it.
        counts.middle_bytes if operator.squeeze_channels else 0.0,
        operator.batch * activated if operator.activation in _CURVED else 0.0,
    )


_CURVED = ("hswish", "hswish6", "swish")


def _activated(operator: OperatorSpec) -> tuple[Convolution, ...]:
    """Convolutions that an activation follows: all but a block's last one, and a `uib`'s start."""
    convs = convolutions(operator)
    if operator.kind == "uib":
        return convs[bool(operator.start_kernel) : -1]
    return convs[:-1] if operator.kind == "ir" else convs


def _descriptors(operator: OperatorSpec) -> tuple[float, ...]:
    counts = count(operator)
    _, dense_flops, depthwise_flops, *_ = _components(operator)
    return (
        math.log(dense_flops + _OFFSET),
        math.log(depthwise_flops + _OFFSET),
        math.log(counts.input_bytes + 1),
        math.log(counts.output_bytes + 1),
        math.log(counts.weight_bytes + 1),
        math.log(counts.middle_bytes + _OFFSET),
        float(max(operator.kernel, operator.start_kernel)),
        float(operator.groups > 1),
        math.log(max(operator.mid_channels, 1)),
        math.log(max(operator.height, 1)),
        float(operator.stride),
        float(operator.kind == "classifier"),
        float(operator.kind == "conv"),
        float(operator.squeeze_channels > 0),
        float(operator.splits),
        math.log(max(operator.in_channels, 1)),
        math.log(max(operator.out_channels, 1)),
        float(operator.activation in _CURVED),
        float(operator.residual),
    )


def standardise(descriptors: Array) -> Array:
    """Columns of mean 0 and deviation 1; a column that never varies becomes 0."""
    spread = descriptors.std(axis=0)
    spread[spread < 1e-12] = 1.0
    scaled: Array = (descriptors - descriptors.mean(axis=0)) / spread
    return scaled
