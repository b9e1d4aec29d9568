"""Faults planted in a package are caught before it is accepted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="packages are made from torch modules")
pytest.importorskip("coremltools", reason="packages are made by coremltools")

from deploy.artefact import ExportSpec
from deploy.chains.programs import adapter_alone, chain
from deploy.exporters import coreml
from deploy.exporters.registry import exporter_entry, make_exporter
from search.errors import ExportError
from search.operators.spec import parse_key
from tests.contracts.conftest import SPECS
from tests.deploy.coreml.tampering import Tampered, tamper

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


def a_wrong_quantisation_scale(p: Tampered) -> None:
    op = p.ops("constexpr_affine_dequantize")[0]
    value = op.attributes["scale"]
    start = value.blobFileValue.offset + 64
    size = value.type.tensorType.dimensions[0].constant.size
    np.frombuffer(p.weights, np.float16, size, start)[:] *= 2


def scale_an_early_copy(p: Tampered) -> None:
    """Fifteen copies follow; only the comparison of each link shows it."""
    p.array(p.ops("conv")[1], "weight")[:] *= np.float16(1.05)


def scale_a_lone_convolution(p: Tampered) -> None:
    assert [op.type for op in p.block.operations if op.type != "const"] == ["conv"]
    p.array(p.ops("conv")[0], "weight")[:] *= np.float16(1.05)


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


LENGTHS = {"chain": 4, "sixteen": 16}


def spec_of(name: str, dtype: str = "fp16") -> ExportSpec:
    length, _, chained = name.partition(" of ")
    if length == "back":
        back = adapter_alone(parse_key(SPECS[chained][0].format(dtype=dtype)))
        assert back is not None
        return back
    if length in LENGTHS:
        return chain(parse_key(SPECS[chained][0].format(dtype=dtype)), LENGTHS[length])
    keys = [key.format(dtype=dtype) for key in SPECS[name]]
    return ExportSpec(name=name, operators=tuple(map(parse_key, keys)))


@pytest.fixture(scope="module")
def exported() -> dict[Any, bytes]:
    return {}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught(
    fault: str, exported: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change = PLANTED[fault]
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    if name not in exported:
        exported[name] = exporter.build(spec_of(name)).content
    content = tamper(exported[name], change)
    assert content != exported[name]
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    with pytest.raises(ExportError):
        exporter.build(spec_of(name))


def test_an_untouched_package_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    exported = exporter.build(spec_of("chain of stride"))
    same = tamper(exported.content, lambda _: None)
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: same)
    assert exporter.build(spec_of("chain of stride")).relative_error == exported.relative_error


def test_a_wrong_quantisation_scale_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = make_exporter(exporter_entry("coreml", "w8"))
    content = exporter.build(spec_of("chain of residual", "w8")).content
    content = tamper(content, a_wrong_quantisation_scale)
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    with pytest.raises(ExportError, match="something else"):
        exporter.build(spec_of("chain of residual", "w8"))
