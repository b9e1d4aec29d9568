"""Operations of foreign packages compute what torch computes for the same layers."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deploy.coreml.more_operations import MORE_OPERATIONS
from search.errors import ExportError

_X = torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(0))
_GAMMA, _BETA = torch.tensor([1.0, 2.0, -1.0, 0.5]), torch.tensor([0.5, 0.0, 1.0, -2.0])
_POOL = {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1]}


def computed(kind: str, arguments: Mapping[str, Any]) -> Tensor:
    result = MORE_OPERATIONS[kind](arguments)
    assert isinstance(result, Tensor)
    return result


CASES: dict[str, tuple[str, dict[str, Any], Tensor]] = {
    "a padded maximum": (
        "max_pool",
        {"x": _X, **_POOL, "ceil_mode": False},
        functional.max_pool2d(_X, 3, 2, 1),
    ),
    "a mean that counts what was padded": (
        "avg_pool",
        {"x": _X, **_POOL, "exclude_padding_from_average": False},
        functional.avg_pool2d(_X, 3, 2, 1),
    ),
    "a mean that does not": (
        "avg_pool",
        {"x": _X, **_POOL, "exclude_padding_from_average": True},
        functional.avg_pool2d(_X, 3, 2, 1, count_include_pad=False),
    ),
    "a transposed product": (
        "matmul",
        {"x": _X, "y": _X, "transpose_x": False, "transpose_y": True},
        _X @ _X.transpose(-1, -2),
    ),
    "a layer's norm": (
        "layer_norm",
        {"x": _X, "axes": [-1], "gamma": torch.arange(7.0), "beta": torch.ones(7), "epsilon": 1e-5},
        functional.layer_norm(_X, (7,), torch.arange(7.0), torch.ones(7)),
    ),
    "a batch's norm": (
        "batch_norm",
        {"x": _X, "mean": _BETA, "variance": _GAMMA.abs(), "gamma": _GAMMA, "beta": _BETA},
        functional.batch_norm(_X, _BETA, _GAMMA.abs(), _GAMMA, _BETA),
    ),
    "an instance's norm": (
        "instance_norm",
        {"x": _X, "gamma": _GAMMA, "beta": _BETA},
        functional.instance_norm(_X, weight=_GAMMA, bias=_BETA),
    ),
    "an exact GELU": ("gelu", {"x": _X, "mode": "EXACT"}, functional.gelu(_X)),
    "an approximate GELU": (
        "gelu",
        {"x": _X, "mode": "TANH_APPROXIMATION"},
        functional.gelu(_X, approximate="tanh"),
    ),
    "rows by number": (
        "gather",
        {"x": _X, "indices": torch.tensor([2.0, -1.0]), "axis": 1},
        _X[:, [2, 3]],
    ),
    "a place, which drops the axis": ("gather", {"x": _X, "indices": 1, "axis": 1}, _X[:, 1]),
    "an axis dropped": ("squeeze", {"x": _X[:, :1], "axes": [1]}, _X[:, 0]),
    "a border of a number": (
        "pad",
        {"x": _X, "pad": [0, 0, 0, 0, 1, 2, 3, 4], "mode": "constant", "constant_val": 0.5},
        functional.pad(_X, (3, 4, 1, 2), value=0.5),
    ),
    "a transposed convolution": (
        "conv_transpose",
        {
            "x": _X,
            "weight": torch.ones(4, 2, 3, 3),
            "bias": torch.tensor([1.0, 2.0]),
            "strides": [2, 2],
            "groups": 1,
            "pad_type": "custom",
            "pad": [1, 1, 1, 1],
        },
        functional.conv_transpose2d(
            _X, torch.ones(4, 2, 3, 3), torch.tensor([1.0, 2.0]), 2, padding=1
        ),
    ),
    "a slice with steps": (
        "slice_by_index",
        {
            "x": _X,
            "begin": [0, 0, 1, 0],
            "end": [2, 4, 9, 7],
            "stride": [1, 1, 2, 3],
            "begin_mask": [True, True, False, True],
            "end_mask": [True, True, True, True],
        },
        _X[:, :, 1::2, ::3],
    ),
    "the place of the largest": (
        "reduce_argmax",
        {"x": _X, "axis": -1, "keep_dims": False},
        _X.argmax(-1).float(),
    ),
    "a sum over axes": (
        "reduce_sum",
        {"x": _X, "axes": [2, 3], "keep_dims": True},
        _X.sum((2, 3), keepdim=True),
    ),
    "a root's inverse": ("rsqrt", {"x": _X.abs(), "epsilon": 0.1}, (_X.abs() + 0.1).rsqrt()),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operation_computes_what_torch_does(case: str) -> None:
    kind, arguments, expected = CASES[case]
    torch.testing.assert_close(computed(kind, arguments), expected, rtol=1e-5, atol=1e-5)


def test_same_padding_keeps_the_size_over_the_stride() -> None:
    same = {"x": _X, "kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "same"}
    assert computed("max_pool", same).shape == (2, 4, 5, 4)


def test_a_split_gives_each_part() -> None:
    parts = MORE_OPERATIONS["split"]({"x": _X, "axis": 1, "split_sizes": [1, 3]})
    assert [part.shape[1] for part in parts] == [1, 3]


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ExportError, match="GELU of the mode"):
        computed("gelu", {"x": _X, "mode": "SIGMOID_APPROXIMATION"})
    with pytest.raises(ExportError, match="pads by"):
        computed("max_pool", {"x": _X, "kernel_sizes": [2, 2], "pad_type": "odd"})
