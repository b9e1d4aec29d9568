"""Operations of Core ML programs that models of the user's own hold beside the kit's.

Source of their meaning: coremltools' documentation of the MIL operations (iOS 15 to 17).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deploy.coreml.interpreter import OPERATIONS, Arguments, Evaluate
from search.errors import ExportError

_EPSILON = 1e-5


def _numbers(value: Any) -> list[int]:
    """Integers of an argument, which is a tensor, a list, or one number."""
    if isinstance(value, Tensor):
        return [int(number) for number in value.reshape(-1).tolist()]
    return [int(number) for number in (value if isinstance(value, list) else [value])]


def _tensor(value: Any) -> Tensor:
    return value.float() if isinstance(value, Tensor) else torch.tensor(value).float()


def _same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pads(a: Arguments, kernel: list[int], strides: list[int]) -> list[int]:
    """What to pad, last dimension first, as torch takes it."""
    sizes, kind = a["x"].shape[2:], a["pad_type"]
    if kind == "valid":
        return [0] * (2 * len(kernel))
    if kind == "custom":
        given = _numbers(a["pad"])
        pairs = [tuple(given[2 * i : 2 * i + 2]) for i in range(len(kernel))]
    elif kind == "same":
        pairs = [_same_pads(*three) for three in zip(sizes, kernel, strides, strict=True)]
    else:
        raise ExportError(f"A pool pads by {kind!r}, which is not known here.")
    return [number for pair in reversed(pairs) for number in pair]


def _max_pool(a: Arguments) -> Tensor:
    kernel = _numbers(a["kernel_sizes"])
    strides = _numbers(a["strides"]) if a.get("strides") is not None else [1] * len(kernel)
    x = functional.pad(a["x"], _pads(a, kernel, strides), value=-torch.inf)
    pool = functional.max_pool2d if len(kernel) == 2 else functional.max_pool1d
    y: Tensor = pool(x, kernel, strides, ceil_mode=bool(a.get("ceil_mode") or False))
    return y


def _avg_pool(a: Arguments) -> Tensor:
    kernel = _numbers(a["kernel_sizes"])
    strides = _numbers(a["strides"]) if a.get("strides") is not None else [1] * len(kernel)
    pads = _pads(a, kernel, strides)
    ceil = bool(a.get("ceil_mode") or False)
    pool = functional.avg_pool2d if len(kernel) == 2 else functional.avg_pool1d
    x = functional.pad(a["x"], pads)
    y: Tensor = pool(x, kernel, strides, ceil_mode=ceil)
    if a.get("exclude_padding_from_average"):
        ones = functional.pad(torch.ones_like(a["x"]), pads)
        y = y / pool(ones, kernel, strides, ceil_mode=ceil)
    return y


def _matmul(a: Arguments) -> Tensor:
    x, y = _tensor(a["x"]), _tensor(a["y"])
    x = x.transpose(-1, -2) if a.get("transpose_x") else x
    y = y.transpose(-1, -2) if a.get("transpose_y") else y
    return x @ y


def _layer_norm(a: Arguments) -> Tensor:
    x, axes = a["x"], _numbers(a["axes"])
    mean = x.mean(axes, keepdim=True)
    variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    y: Tensor = (x - mean) / torch.sqrt(variance + float(a.get("epsilon", _EPSILON)))
    if a.get("gamma") is not None:
        y = y * _tensor(a["gamma"])
    if a.get("beta") is not None:
        y = y + _tensor(a["beta"])
    return y


def _by_channel(a: Arguments, name: str, default: float) -> Tensor:
    if a.get(name) is None:
        return torch.tensor(default)
    return _tensor(a[name]).reshape(1, -1, *[1] * (a["x"].dim() - 2))


def _batch_norm(a: Arguments) -> Tensor:
    deviation = torch.sqrt(_by_channel(a, "variance", 1) + float(a.get("epsilon", _EPSILON)))
    y: Tensor = (a["x"] - _by_channel(a, "mean", 0)) / deviation
    return y * _by_channel(a, "gamma", 1) + _by_channel(a, "beta", 0)


def _instance_norm(a: Arguments) -> Tensor:
    x, axes = a["x"], list(range(2, a["x"].dim()))
    variance = x.var(axes, keepdim=True, unbiased=False)
    y: Tensor = (x - x.mean(axes, keepdim=True)) / torch.sqrt(
        variance + float(a.get("epsilon", _EPSILON))
    )
    return y * _by_channel(a, "gamma", 1) + _by_channel(a, "beta", 0)


def _gelu(a: Arguments) -> Tensor:
    mode = a.get("mode", "EXACT")
    if mode == "EXACT":
        return functional.gelu(a["x"])
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(a["x"], approximate="tanh")
    raise ExportError(f"A GELU of the mode {mode!r} is not known here.")


def _gather(a: Arguments) -> Tensor:
    x, axis = _tensor(a["x"]), int(a.get("axis", 0)) % _tensor(a["x"]).dim()
    indices = torch.as_tensor(a["indices"]).long()
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    found = x.index_select(axis, indices.reshape(-1))
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _squeeze(a: Arguments) -> Tensor:
    x: Tensor = a["x"]
    if a.get("axes") is None:
        return x.squeeze()
    for axis in sorted((axis % x.dim() for axis in _numbers(a["axes"])), reverse=True):
        x = x.squeeze(axis)
    return x


def _split(a: Arguments) -> tuple[Tensor, ...]:
    axis = int(a["axis"])
    if a.get("split_sizes") is not None:
        return tuple(a["x"].split(_numbers(a["split_sizes"]), axis))
    return tuple(a["x"].chunk(int(a["num_splits"]), axis))


def _pad(a: Arguments) -> Tensor:
    x, given = a["x"], _numbers(a["pad"])
    pairs = [given[i : i + 2] for i in range(0, len(given), 2)]
    pads = [number for pair in reversed(pairs) for number in pair]
    mode = a.get("mode", "constant")
    if mode == "constant":
        return functional.pad(x, pads, value=float(a.get("constant_val", 0)))
    names = {"reflect": "reflect", "replicate": "replicate"}
    if mode not in names:
        raise ExportError(f"Padding by {mode!r} is not known here.")
    return functional.pad(x, pads, mode=names[mode])


def _conv_transpose(a: Arguments) -> Tensor:
    if a["pad_type"] not in ("valid", "custom"):
        raise ExportError(f"A transposed convolution pads by {a['pad_type']!r}.")
    bias = None if a.get("bias") is None else _tensor(a["bias"])
    y = functional.conv_transpose2d(
        a["x"], _tensor(a["weight"]), bias, _numbers(a["strides"]), groups=int(a["groups"])
    )
    if a["pad_type"] == "custom":
        top, bottom, left, right = _numbers(a["pad"])
        y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    return y


def _slice(a: Arguments) -> Tensor:
    rank = a["x"].dim()
    steps = _numbers(a["stride"]) if a.get("stride") is not None else [1] * rank
    masks = [a.get(name) or [False] * rank for name in ("begin_mask", "end_mask", "squeeze_mask")]
    begin, end = _numbers(a["begin"]), _numbers(a["end"])
    if min(steps) < 1:
        raise ExportError("A slice goes backwards, which is not known here.")
    places: list[Any] = []
    for axis in range(rank):
        first = None if masks[0][axis] else begin[axis]
        last = None if masks[1][axis] else end[axis]
        places.append(begin[axis] if masks[2][axis] else slice(first, last, steps[axis]))
    y: Tensor = a["x"][tuple(places)]
    return y


def _pairwise(compute: Callable[[Tensor, Tensor], Tensor]) -> Evaluate:
    return lambda a: compute(_tensor(a["x"]), _tensor(a["y"]))


def _single(compute: Callable[[Tensor], Tensor]) -> Evaluate:
    return lambda a: compute(_tensor(a["x"]))


def _reduced(compute: Callable[[Tensor, list[int], bool], Tensor]) -> Evaluate:
    def evaluate(a: Arguments) -> Tensor:
        axes = list(range(a["x"].dim())) if a.get("axes") is None else _numbers(a["axes"])
        return compute(a["x"], axes, bool(a.get("keep_dims", False)))

    return evaluate


def _arg(find: Callable[..., Tensor]) -> Evaluate:
    return lambda a: find(a["x"], int(a.get("axis", -1)), bool(a.get("keep_dims", False))).float()


MORE_OPERATIONS: Mapping[str, Any] = {
    **OPERATIONS,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "matmul": _matmul,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "gelu": _gelu,
    "gather": _gather,
    "squeeze": _squeeze,
    "split": _split,
    "pad": _pad,
    "conv_transpose": _conv_transpose,
    "slice_by_index": _slice,
    "sub": _pairwise(torch.sub),
    "real_div": _pairwise(torch.div),
    "pow": _pairwise(torch.pow),
    "maximum": _pairwise(torch.maximum),
    "minimum": _pairwise(torch.minimum),
    "tanh": _single(torch.tanh),
    "exp": _single(torch.exp),
    "sqrt": _single(torch.sqrt),
    "rsqrt": lambda a: torch.rsqrt(a["x"] + float(a.get("epsilon", 0))),
    "log": lambda a: torch.log(a["x"] + float(a.get("epsilon", 0))),
    "square": _single(torch.square),
    "abs": _single(torch.abs),
    "erf": _single(torch.erf),
    "softplus": _single(functional.softplus),
    "leaky_relu": lambda a: functional.leaky_relu(a["x"], float(a["alpha"])),
    "elu": lambda a: functional.elu(a["x"], float(a["alpha"])),
    "prelu": lambda a: functional.prelu(a["x"], _tensor(a["alpha"])),
    "reduce_sum": _reduced(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_max": _reduced(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_argmax": _arg(torch.argmax),
    "reduce_argmin": _arg(torch.argmin),
    "stack": lambda a: torch.stack(list(a["values"]), int(a["axis"])),
    "select": lambda a: torch.where(
        torch.as_tensor(a["cond"]).bool(), _tensor(a["a"]), _tensor(a["b"])
    ),
}
