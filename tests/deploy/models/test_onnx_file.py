"""ONNX files: what is read, and what is refused before it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="files are written with onnx")
pytest.importorskip("onnxruntime", reason="models are opened by ONNX Runtime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from deploy.models.onnx_file import open_session, read_onnx, session_answers
from deploy.models.prepare import ModelOptions, prepare_model
from deploy.models.source import find_source
from search.errors import ExportError, UsageError

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
    shape: tuple[Any, ...] = ("batch", 3),
    operator: str = "MatMul",
    domain: str = "",
) -> Any:
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (shape[0], 4))
    node = helper.make_node(operator, ["x", "w"], ["y"], domain=domain)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(WEIGHTS, "w")])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(domain, 1)][: 2 if domain else 1]
    made = helper.make_model(graph, opset_imports=imports)
    made.ir_version = 9
    return made


def saved(folder: Path, made: Any) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_a_model_with_an_open_batch_runs_at_the_shape_asked_for(tmp_path: Path) -> None:
    content, specs = read_onnx(saved(tmp_path, model()), {"x": (2, 3)})
    x = np.ones((2, 3), np.float32)
    (y,) = session_answers(open_session(content, optimised=True), specs, [x])
    np.testing.assert_array_equal(y, x @ WEIGHTS)


def test_the_prepared_file_is_held_against_the_unoptimised_graph(tmp_path: Path) -> None:
    source = find_source(str(saved(tmp_path, model())))
    prepared = prepare_model(source, "onnxruntime", ModelOptions(shapes={"": (2, 3)}, cases=3))
    assert prepared.artefact.relative_error <= 1e-6
    assert len(prepared.cases) == 3
    assert prepared.outputs[0].sizes == (2, 4)
    np.testing.assert_allclose(
        prepared.cases[1].expected[0], prepared.cases[1].inputs[0] @ WEIGHTS, rtol=1e-5
    )


def test_weights_beside_the_file_come_into_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(
        model(shape=(2, 3)),
        str(path),
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    content, _ = read_onnx(path, {})
    assert WEIGHTS.tobytes() in content
    (tmp_path / "m.data").unlink()
    with pytest.raises(UsageError, match=r"keeps its weights in 'm\.data', which is not") as caught:
        read_onnx(path, {})
    assert "Copy that file too" in caught.value.remedy


def test_weights_outside_of_its_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    made = model(shape=(2, 3))
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    with pytest.raises(UsageError, match="outside its folder"):
        read_onnx(saved(inner, made), {})


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (model(opset=99), "opset 99; ONNX Runtime .* knows .* at most"),
        (model(opset=5), "opset 5, older than any"),
        (model(domain="my.ops", operator="Mine"), r"operators of its own \(my.ops: Mine\)"),
        (model(), "not fixed: x float32 batchx3.*--shape x=Nx3"),
        (model(kind=TensorProto.STRING), "input x .* is"),
        (model(shape=(2, 3), operator="NoSuchOperator"), "no sound ONNX model|cannot run"),
    ],
    ids=[
        "newer opset",
        "older opset",
        "own operators",
        "open shape",
        "strings",
        "unknown operator",
    ],
)
def test_models_that_cannot_be_run_are_refused_with_a_remedy(
    tmp_path: Path, made: Any, why: str
) -> None:
    path = saved(tmp_path, made)
    with pytest.raises((UsageError, ExportError), match=why) as caught:
        open_session(read_onnx(path, {})[0], optimised=True)
    assert caught.value.remedy


def test_an_input_without_dimensions_is_refused(tmp_path: Path) -> None:
    made = model()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UsageError, match="how many dimensions"):
        read_onnx(saved(tmp_path, made), {})


@pytest.mark.parametrize("content", [b"\xff" * 40, b"{}"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not an ONNX file"):
        read_onnx(path, {})
