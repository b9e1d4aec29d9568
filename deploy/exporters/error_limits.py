"""Largest numerical errors of exported files, and of their outputs on a device."""

from typing import Literal, NamedTuple


class ErrorLimit(NamedTuple):
    """The largest relative error against torch that is accepted.

    `judged` names the error that is held against `value`: `largest_error`
    (largest difference over largest magnitude), or `rms_error` for quantised
    files, whose observers clip rare extremes on purpose.
    """

    judged: Literal["largest_error", "rms_error"]
    value: float


# fp32 and fp16 differ from torch by rounding only; int8 and w8 are reported
# rather than judged, but beyond their limits the file is another network.
XNNPACK_FP32 = ErrorLimit("largest_error", 1e-4)
XNNPACK_INT8 = ErrorLimit("rms_error", 0.5)
ONNX_FP32 = ErrorLimit("largest_error", 1e-4)
COREML = {
    "fp16": ErrorLimit("largest_error", 5e-3),
    "fp32": ErrorLimit("largest_error", 1e-5),
    "w8": ErrorLimit("rms_error", 0.03),
}
# On a device: hardware may accumulate in 16 bits, so these are wider.
_DEPLOYMENT_FP32 = ErrorLimit("largest_error", 1e-4)
_DEPLOYMENT_LIMITS = {
    "int8": ErrorLimit("rms_error", 0.5),
    "fp16": ErrorLimit("largest_error", 2e-2),
    "w8": ErrorLimit("rms_error", 0.1),
}


def deployment_limit(dtype: str) -> ErrorLimit:
    """The error limit of a network's outputs on a device, whatever its backend."""
    return _DEPLOYMENT_LIMITS.get(dtype, _DEPLOYMENT_FP32)
