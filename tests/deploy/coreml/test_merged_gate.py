"""Faults planted in a package of many functions are caught; what the tools make passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="packages are made from torch modules")
pytest.importorskip("coremltools", reason="packages are made by coremltools")

from deploy.chains.programs import chain
from deploy.coreml.package import MODEL, pack, unpack
from deploy.exporters import coreml_multifunction
from deploy.exporters.coreml_multifunction import merge
from deploy.exporters.registry import exporter_entry, make_exporter
from search.errors import ExportError
from search.operators.spec import parse_key
from tests.contracts.conftest import SPECS

pytestmark = pytest.mark.thorough

Change = Callable[[Any], None]
LENGTHS = (1, 2)


@pytest.fixture(scope="module", params=["fp16", "w8"])
def packages(request: pytest.FixtureRequest) -> dict[str, bytes]:
    exporter = make_exporter(exporter_entry("coreml", request.param))
    operator = parse_key(SPECS["stride"][0].format(dtype=request.param))
    return {f"x{n}": exporter.build(chain(operator, n)).content for n in LENGTHS}


@pytest.fixture(scope="module")
def merged(packages: dict[str, bytes]) -> bytes:
    return merge(packages)


def block(spec: Any, name: str = "x2") -> Any:
    function = spec.mlProgram.functions[name]
    return function.block_specializations[function.opset]


def ops(spec: Any, kind: str) -> list[Any]:
    return [op for op in block(spec).operations if op.type == kind]


def given(spec: Any, op: Any, word: str) -> Any:
    name = op.inputs[word].arguments[0].name
    return next(o for o in block(spec).operations if o.outputs and o.outputs[0].name == name)


def share_weights_between_copies(spec: Any) -> None:
    convolutions = ops(spec, "conv")
    first, second = convolutions[1], convolutions[len(convolutions) // 2 + 1]
    name = first.inputs["weight"].arguments[0].name
    assert second.inputs["weight"].arguments[0].name != name
    second.inputs["weight"].arguments[0].name = name


def change_a_stride(spec: Any) -> None:
    strides = given(spec, ops(spec, "conv")[1], "strides").attributes["val"]
    strides.immediateValue.tensor.ints.values[:] = [1, 1]


def change_a_padding(spec: Any) -> None:
    op = ops(spec, "conv")[1]
    pad = given(spec, op, "pad_type").attributes["val"].immediateValue.tensor
    pad.strings.values[0] = "same" if pad.strings.values[0] != "same" else "valid"


def another_activation(spec: Any) -> None:
    ops(spec, "relu")[0].type = "relu6"


def rewire(spec: Any) -> None:
    convolutions = ops(spec, "conv")
    half = convolutions[len(convolutions) // 2]
    half.inputs["x"].arguments[0].name = convolutions[0].inputs["x"].arguments[0].name


def swap_functions(spec: Any) -> None:
    one, two = (type(f)() for f in (spec.mlProgram.functions["x1"],) * 2)
    one.CopyFrom(spec.mlProgram.functions["x1"])
    two.CopyFrom(spec.mlProgram.functions["x2"])
    spec.mlProgram.functions["x1"].CopyFrom(two)
    spec.mlProgram.functions["x2"].CopyFrom(one)


def lose_a_function(spec: Any) -> None:
    del spec.mlProgram.functions["x1"]


def newer_operation_set(spec: Any) -> None:
    function, content = spec.mlProgram.functions["x2"], block(spec)
    kept = type(content)()
    kept.CopyFrom(content)
    del function.block_specializations[function.opset]
    function.opset = "CoreML9"
    function.block_specializations["CoreML9"].CopyFrom(kept)


def describe_another_shape(spec: Any) -> None:
    spec.description.functions[1].input[0].type.multiArrayType.shape[:] = [1, 2, 3]


def describe_another_name(spec: Any) -> None:
    spec.description.functions[1].output[0].name = "z"


def no_such_default(spec: Any) -> None:
    spec.description.defaultFunctionName = "main"


PLANTED = (
    share_weights_between_copies,
    change_a_stride,
    change_a_padding,
    another_activation,
    rewire,
    swap_functions,
    lose_a_function,
    newer_operation_set,
    describe_another_shape,
    describe_another_name,
    no_such_default,
)


def changed(content: bytes, change: Change, place: Path) -> bytes:
    from coremltools.proto import Model_pb2

    unpack(content, place)
    spec = Model_pb2.Model()
    spec.ParseFromString((place / MODEL).read_bytes())
    change(spec)
    (place / MODEL).write_bytes(spec.SerializeToString())
    return pack(place)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught(
    fault: Change, packages: dict[str, bytes], merged: bytes, tmp_path: Path
) -> None:
    content = changed(merged, fault, tmp_path / "m.mlpackage")
    assert content != merged
    with pytest.raises(ExportError):
        coreml_multifunction._check(content, packages)


def test_what_the_tools_make_passes(packages: dict[str, bytes], merged: bytes) -> None:
    coreml_multifunction._check(merged, packages)
    assert merge(packages) == merged
