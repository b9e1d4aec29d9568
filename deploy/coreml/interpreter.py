"""Evaluation of a saved Core ML program with torch.

Values are 32-bit floats; each that the program declares as 16-bit is rounded
to 16 bits when it is computed, as hardware that accumulates in 32 bits does.
The purpose is to find programs that compute something else, not to reproduce
the last bit of some device.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deploy.coreml.program import Function, Operation, TensorType, Value
from search.console.messages import counted
from search.errors import ExportError

# Tensors mostly; each operation knows the types of its arguments.
Arguments = Mapping[str, Any]
Evaluate = Callable[[Arguments], Tensor | tuple[Tensor, ...]]
Operations = Mapping[str, Evaluate]


def evaluate(
    function: Function, *inputs: Tensor, operations: "Operations | None" = None
) -> tuple[Tensor, ...]:
    """Run one function; inputs in its own order, outputs as 32-bit floats.

    Args:
        function: The function.
        inputs: A tensor an input.
        operations: By kind; those that the kit emits unless given.

    Raises:
        ExportError: An operation that the kit does not emit, or a value whose
            shape is not the declared one.
    """
    values = evaluate_all(function, *inputs, operations=operations)
    return tuple(values[name] for name in function.outputs)


def evaluate_all(
    function: Function, *inputs: Tensor, operations: "Operations | None" = None
) -> dict[str, Value]:
    """Run one function; every value by name, in the order of computation.

    Raises:
        ExportError: An operation that the kit does not emit, or a value whose
            shape is not the declared one.
    """
    values: dict[str, Value] = dict(function.constants)
    if len(inputs) != len(function.inputs):
        raise ExportError(f"{function.name} takes {counted(len(function.inputs), 'input')}.")
    for (name, kind), value in zip(function.inputs, inputs, strict=True):
        values[name] = _rounded(value.float().contiguous(), kind, name)
    known = OPERATIONS if operations is None else operations
    for op in function.operations:
        for (name, kind), value in zip(op.outputs, _apply(op, values, known), strict=True):
            values[name] = _rounded(value, kind, name)
    unknown = [name for name in function.outputs if name not in values]
    if unknown:
        raise ExportError(f"{function.name} puts out {unknown[0]}, which nothing computes.")
    return values


def _apply(
    op: Operation, values: Mapping[str, Value], operations: "Operations"
) -> tuple[Tensor, ...]:
    if op.kind not in operations:
        raise ExportError(f"The program holds an operation that the kit never emits: {op.kind}.")
    try:
        arguments = {name: _argument(values, names) for name, names in op.arguments.items()}
    except KeyError as error:
        raise ExportError(f"{op.name} reads {error}, which nothing computes.") from error
    try:
        # Up to iOS 16 compressed weights carry their content as attributes.
        result = operations[op.kind]({**op.attributes, **arguments})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{op.name} ({op.kind}) cannot be computed: {error}") from error
    return result if isinstance(result, tuple) else (result,)


def _argument(values: Mapping[str, Value], names: tuple[str, ...]) -> Any:
    contents = [values[name] for name in names]
    return contents[0] if len(contents) == 1 else contents


def _rounded(value: Tensor, kind: TensorType, name: str) -> Tensor:
    if tuple(value.shape) != kind.shape:
        raise ExportError(f"{name} has the shape {tuple(value.shape)}, declared is {kind.shape}.")
    return value.half().float() if kind.dtype == "fp16" else value


# --- operations that the kit emits


def _floats(value: Any) -> Tensor:
    return value.float() if isinstance(value, Tensor) else torch.tensor(float(value))


def _conv(a: Arguments) -> Tensor:
    x, bias = a["x"], a.get("bias")
    strides, dilations = a["strides"], a["dilations"]
    weight = a["weight"].float()
    if a["pad_type"] == "custom":
        top, bottom, left, right = a["pad"]
        x = functional.pad(x, (left, right, top, bottom))
    elif a["pad_type"] != "valid":
        raise ExportError(f"A convolution pads by {a['pad_type']!r}, which the kit never emits.")
    bias = bias.float() if bias is not None else None
    return functional.conv2d(x, weight, bias, strides, 0, dilations, a["groups"])


def _linear(a: Arguments) -> Tensor:
    bias = a.get("bias")
    return functional.linear(a["x"], a["weight"].float(), None if bias is None else bias.float())


def _sigmoid_hard(a: Arguments) -> Tensor:
    y: Tensor = (a["x"] * a["alpha"] + a["beta"]).clamp(0, 1)
    return y


def _upsample(a: Arguments) -> Tensor:
    factors = (float(a["scale_factor_height"]), float(a["scale_factor_width"]))
    return functional.interpolate(a["x"], scale_factor=factors, mode="nearest")


def _slice_by_index(a: Arguments) -> Tensor:
    rank = a["x"].dim()
    if a.get("stride") is not None and any(step != 1 for step in a["stride"]):
        raise ExportError("A slice takes steps, which the kit never emits.")
    if any(a.get("squeeze_mask") or ()):
        raise ExportError("A slice drops an axis, which the kit never emits.")
    from_start, to_end = (a.get(name) or [False] * rank for name in ("begin_mask", "end_mask"))
    slices = tuple(
        slice(None if start else int(begin), None if stop else int(end))
        for begin, end, start, stop in zip(a["begin"], a["end"], from_start, to_end, strict=True)
    )
    y: Tensor = a["x"][slices]
    return y


def _affine_dequantize(a: Arguments) -> Tensor:
    data, axis = a["quantized_data"].float(), int(a["axis"])
    shape = [1] * data.dim()
    shape[axis] = -1
    scale, zero = (_per_channel(a[name], shape) for name in ("scale", "zero_point"))
    y: Tensor = (data - zero) * scale
    return y


def _per_channel(value: Any, shape: list[int]) -> Tensor:
    tensor: Tensor = torch.as_tensor(value).float()
    return tensor.reshape(shape) if tensor.dim() else tensor


def _blockwise_shift_scale(a: Arguments) -> Tensor:
    data: Tensor = a["data"].float()
    scale: Tensor = a["scale"].float()
    if a.get("offset") is not None:
        data = data - a["offset"].float()
    for axis, size in enumerate(data.shape):
        scale = scale.repeat_interleave(size // scale.shape[axis], axis)
    return data * scale


OPERATIONS: Mapping[str, Evaluate] = {
    "conv": _conv,
    "linear": _linear,
    "relu": lambda a: a["x"].relu(),
    "relu6": lambda a: a["x"].clamp(0, 6),
    "clip": lambda a: a["x"].clamp(a["alpha"], a["beta"]),
    "sigmoid": lambda a: a["x"].sigmoid(),
    "sigmoid_hard": _sigmoid_hard,
    "thresholded_relu": lambda a: a["x"].where(a["x"] >= a["alpha"], torch.zeros(())),
    "silu": lambda a: functional.silu(a["x"]),
    "add": lambda a: _floats(a["x"]) + _floats(a["y"]),
    "mul": lambda a: _floats(a["x"]) * _floats(a["y"]),
    "reduce_mean": lambda a: a["x"].mean(tuple(a["axes"]), keepdim=bool(a["keep_dims"])),
    "concat": lambda a: torch.cat(list(a["values"]), int(a["axis"])),
    "softmax": lambda a: a["x"].softmax(int(a["axis"])),
    "slice_by_index": _slice_by_index,
    "reshape": lambda a: a["x"].reshape(tuple(a["shape"])),
    "transpose": lambda a: a["x"].permute(tuple(a["perm"])),
    "expand_dims": lambda a: _expand(a["x"], a["axes"]),
    "upsample_nearest_neighbor": _upsample,
    # Rounded to the declared format like every value; only a delegate's borders have it.
    "cast": lambda a: a["x"],
    "identity": lambda a: a["x"].clone(),
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
}


def _expand(x: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x
