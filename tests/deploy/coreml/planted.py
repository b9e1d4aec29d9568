"""Faults to plant in a Core ML package."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.deploy.coreml.tampering import Tampered

Change = Callable[[Tampered], None]


def scale_weights(p: Tampered) -> None:
    p.array(p.ops("conv")[1], "weight")[:] *= np.float16(1.05)


def swap(axis: int, which: int) -> Change:
    def change(p: Tampered) -> None:
        array = np.moveaxis(p.array(p.ops("conv")[which], "weight"), axis, 0)
        array[[0, 1]] = array[[1, 0]]

    return change


def zero_one_filter(p: Tampered) -> None:
    p.array(p.ops("conv")[1], "weight")[3] = 0


def negate_a_bias(p: Tampered) -> None:
    p.array(p.ops("conv")[0], "bias")[:] *= -1


def flip_a_kernel(p: Tampered) -> None:
    array = p.array(p.ops("conv")[1], "weight")
    array[:] = array[:, :, ::-1, ::-1].copy()


def transpose_a_kernel(p: Tampered) -> None:
    array = p.array(p.ops("conv")[1], "weight")
    array[:] = array.swapaxes(2, 3).copy()


def drop_the_residual(p: Tampered) -> None:
    (op,) = p.ops("add")
    op.type = "identity"
    p.point(op, "x", op.inputs["y"].arguments[0].name)
    del op.inputs["y"]


def add_the_wrong_value(p: Tampered) -> None:
    (op,) = p.ops("add")
    p.point(op, "y", op.inputs["x"].arguments[0].name)


def become(kind: str, other: str, which: int = 0) -> Change:
    def change(p: Tampered) -> None:
        p.ops(kind)[which].type = other

    return change


def ints(kind: str, which: int, word: str, *values: int) -> Change:
    return lambda p: p.ints(p.ops(kind)[which], word, *values)


def shift_the_padding(p: Tampered) -> None:
    p.value(p.ops("conv")[1], "pad_type").strings.values[0] = "custom"
    p.ints(p.ops("conv")[1], "pad", 3, 1, 2, 2)


def read_another_weight(p: Tampered) -> None:
    first, last = (p.given(p.ops("conv")[n], "bias") for n in (0, 1))
    offset = last.attributes["val"].blobFileValue.offset
    first.attributes["val"].blobFileValue.offset = offset


def share_weights_between_copies(p: Tampered) -> None:
    p.point(p.ops("conv")[5], "weight", p.ops("conv")[1].inputs["weight"].arguments[0].name)


def enlarge_by_another_factor(p: Tampered) -> None:
    p.value(p.ops("upsample_nearest_neighbor")[0], "scale_factor_height").floats.values[0] = 3.0


def skip_a_copy(p: Tampered) -> None:
    """The second copy reads what the first one read."""
    second = p.ops("conv")[4]
    p.point(second, "x", p.ops("conv")[0].inputs["x"].arguments[0].name)


def cut_the_weights(p: Tampered) -> None:
    del p.weights[len(p.weights) // 2 :]


def another_version(p: Tampered) -> None:
    p.spec.specificationVersion += 1


def wide_output(p: Tampered) -> None:
    p.spec.description.output[0].type.multiArrayType.dataType = 65568


def another_output(p: Tampered) -> None:
    p.block.outputs[0] = p.ops("conv")[0].inputs["x"].arguments[0].name


def wrong_gate(p: Tampered) -> None:
    p.ops("sigmoid")[0].type = "relu"


def gate_by_the_wrong_mean(p: Tampered) -> None:
    p.ints(p.ops("reduce_mean")[0], "axes", 1, 2)


def multiply_by_itself(p: Tampered) -> None:
    op = p.ops("mul")[-1]
    p.point(op, "y", op.inputs["x"].arguments[0].name)


def drop_the_shuffle(p: Tampered) -> None:
    first = p.ops("conv")[0].outputs[0].name
    reader = p.ops("conv")[1]
    relu = next(o for o in p.ops("relu") if o.inputs["x"].arguments[0].name == first)
    p.point(reader, "x", relu.outputs[0].name)


def _scales(p: Tampered, which: int) -> Any:
    value = p.ops("constexpr_affine_dequantize")[which].attributes["scale"]
    start = value.blobFileValue.offset + 64
    size = value.type.tensorType.dimensions[0].constant.size
    return np.frombuffer(p.weights, np.float16, size, start)


def a_wrong_quantisation_scale(p: Tampered) -> None:
    _scales(p, 0)[:] *= 2


def one_doubled_scale(which: int) -> Change:
    def change(p: Tampered) -> None:
        _scales(p, which)[3] *= 2

    return change


def one_quantised_row_zeroed(p: Tampered) -> None:
    value = p.ops("constexpr_affine_dequantize")[1].attributes["quantized_data"]
    sizes = [d.constant.size for d in value.type.tensorType.dimensions]
    start = value.blobFileValue.offset + 64
    count = int(np.prod(sizes))
    np.frombuffer(p.weights, np.int8, count, start).reshape(sizes)[3] = 0


def scale_an_early_copy(p: Tampered) -> None:
    """Fifteen copies follow; only the comparison of each link shows it."""
    p.array(p.ops("conv")[1], "weight")[:] *= np.float16(1.05)


def scale_a_lone_convolution(p: Tampered) -> None:
    assert [op.type for op in p.block.operations if op.type != "const"] == ["conv"]
    p.array(p.ops("conv")[0], "weight")[:] *= np.float16(1.05)


def describe(which: str, **facts: Any) -> Change:
    def change(p: Tampered) -> None:
        feature = getattr(p.spec.description, which)[0]
        feature.name = facts.get("name", feature.name)
        array = feature.type.multiArrayType
        array.dataType = facts.get("dtype", array.dataType)
        array.shape[:] = facts.get("shape", array.shape)

    return change


def describe_twice(p: Tampered) -> None:
    p.spec.description.input.add().CopyFrom(p.spec.description.input[0])
    p.spec.description.input[1].name = "other"


def rename_the_functions_input(p: Tampered) -> None:
    p.function.inputs[0].name = "z"


def clip_at_five(p: Tampered) -> None:
    tensor = p.value(p.ops("clip")[0], "beta")
    tensor.bytes.values = np.float16(5).tobytes()


PLANTED: dict[str, tuple[str, Change]] = {
    "a wrong scale": ("residual", scale_weights),
    "swapped filters": ("residual", swap(0, 1)),
    "swapped input channels": ("residual", swap(1, 0)),
    "swapped output channels": ("residual", swap(0, 2)),
    "a filter of zeros": ("residual", zero_one_filter),
    "a bias of the wrong sign": ("residual", negate_a_bias),
    "a rotated kernel": ("residual", flip_a_kernel),
    "a transposed kernel": ("residual", transpose_a_kernel),
    "a dropped residual": ("residual", drop_the_residual),
    "a residual of the wrong value": ("residual", add_the_wrong_value),
    "a dropped activation": ("residual", become("relu", "identity", 1)),
    "another activation": ("residual", become("relu", "sigmoid")),
    "a narrower kernel's padding": ("residual", ints("conv", 1, "pad", 1, 1, 1, 1)),
    "shifted padding": ("residual", shift_the_padding),
    "another stride": ("stride", ints("conv", 1, "strides", 1, 1)),
    "a dilated kernel": ("residual", ints("conv", 1, "dilations", 2, 2)),
    "other groups": ("groups of two", ints("conv", 0, "groups", 1)),
    "a dropped shuffle": ("groups of two", drop_the_shuffle),
    "weights of another layer": ("residual", read_another_weight),
    "weights cut short": ("residual", cut_the_weights),
    "another version": ("residual", another_version),
    "an output of 32 bits": ("residual", wide_output),
    "an older version": ("residual", lambda p: setattr(p.spec, "specificationVersion", 6)),
    "a newer operation set": ("residual", lambda p: p.opset("CoreML7")),
    "an older operation set": ("residual", lambda p: p.opset("CoreML5")),
    "a block of another operation set": (
        "residual",
        lambda p: setattr(p.function, "opset", "CoreML7"),
    ),
    "an input described by another name": ("residual", describe("input", name="z")),
    "an input of the function renamed": ("residual", rename_the_functions_input),
    "an input described as 32 bits": ("residual", describe("input", dtype=65568)),
    "an input described with another shape": ("residual", describe("input", shape=(1, 16, 6, 24))),
    "an input described without a shape": ("residual", describe("input", shape=())),
    "two inputs described": ("residual", describe_twice),
    "an output described by another name": ("residual", describe("output", name="z")),
    "an output described with another shape": ("residual", describe("output", shape=(1, 16, 144))),
    "a ReLU in place of a ReLU6": ("relu6", become("clip", "relu")),
    "a ReLU6 in place of a ReLU": ("residual", become("relu", "relu6")),
    "a clip at 5": ("relu6", clip_at_five),
    "a ReLU after a ReLU": ("residual", lambda p: p.insert("relu", p.ops("relu")[0])),
    "a ReLU6 after a ReLU": ("residual", lambda p: p.insert("relu6", p.ops("relu")[1])),
    "a sigmoid after a convolution": ("stride", lambda p: p.insert("sigmoid", p.ops("conv")[2])),
    "a copy of a value": ("residual", lambda p: p.insert("identity", p.ops("conv")[0])),
    "a ReLU after the first of four copies": (
        "chain of stride",
        lambda p: p.insert("relu", p.ops("relu")[0]),
    ),
    "an output that is the input": ("residual", another_output),
    "a cast": ("residual", become("relu", "cast")),
    "another gate": ("squeeze-excite", wrong_gate),
    "a mean over the wrong axes": ("squeeze-excite", gate_by_the_wrong_mean),
    "a value multiplied by itself": ("squeeze-excite", multiply_by_itself),
    "copies that share a weight": ("chain of stride", share_weights_between_copies),
    "a copy left out": ("chain of stride", skip_a_copy),
    "a wrong scale in the first of sixteen": ("sixteen of stride", scale_an_early_copy),
    "a wrong scale in a restoring operator alone": (
        "back of groups of two",
        scale_a_lone_convolution,
    ),
    "a wrong enlargement": ("chain of stride", enlarge_by_another_factor),
}
