"""`python -m deploy` with models of the user's own, on this machine's CPU."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the model is written with onnx")
pytest.importorskip("onnxruntime", reason="the model runs on ONNX Runtime")

from onnx import TensorProto, helper, numpy_helper

from deploy.cli import main
from search.files import sha256_file


@pytest.fixture
def net(tmp_path: Path, own_cache: Path) -> Path:
    """Two inputs of two dtypes, two outputs; the batch is open."""
    weights = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("Gather", ["rows", "ids"], ["picked"]),
            helper.make_node("Add", ["z", "picked"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 5)),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch",)),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 4)),
            helper.make_tensor_value_info("best", TensorProto.INT64, ("batch",)),
        ],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.eye(4, dtype=np.float32)[:3], "rows"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    path = tmp_path / "mine.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def deploy(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deploy", *words])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0), *capsys.readouterr()


SHAPES = ("--shape", "x=2x5", "--shape", "ids=2")


def test_a_model_is_checked_timed_traced_and_bundled(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    folder = tmp_path / "out"
    options = ("--profile", "--bundle", str(folder), "--labels", str(labels), "--licence", "MIT")
    code, out, err = deploy(
        capsys, str(net), "--device", "host", "--fast", "--format", "json", *SHAPES, *options
    )
    result = json.loads(out)
    proof = result["proof"]
    # On a busy machine every block may be preempted: that alone may fail.
    assert code in (0, 1), err
    assert all("preempted" in p or "latency" in p or "unstable" in p for p in result["problems"])
    assert proof["numbers"]["images"] == 4
    assert proof["numbers"]["largest_error"] <= 1e-4
    assert proof["numbers"]["reference"] == "ONNX Runtime without its optimisations"
    assert [spec["dtype"] for spec in result["network"]["inputs"]] == ["float32", "int64"]
    assert proof["footprint"]["file_bytes"] == result["artefact"]["size_bytes"]
    assert proof["footprint"]["load_us"] > 0
    assert proof["footprint"]["peak_rss_kb"] > proof["footprint"]["base_rss_kb"] > 0
    _check_profile(proof["profile"])
    _check_bundle(folder, result)


def _check_profile(profile: dict[str, Any]) -> None:
    parts = [part["name"].split()[0] for part in profile["parts"]]
    assert sorted(parts) == ["ArgMax", "Gather", "Gemm"]  # MatMul and Add became one
    assert profile["source"] == "profiler"
    assert sum(part["us"] for part in profile["parts"]) == pytest.approx(profile["parts_us"])
    assert profile["traced_us"] == pytest.approx(profile["parts_us"] + profile["rest_us"])
    assert sum(part["share"] for part in profile["parts"]) <= 1
    assert profile["tracer_us"] == pytest.approx(profile["traced_us"] - profile["whole_us"])


def _check_bundle(folder: Path, result: dict[str, Any]) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["licence"]["model"] == "MIT"
    assert bundle["file"] == "mine-fp32.onnx"
    for name, digest in bundle["files"].items():
        assert sha256_file(folder / name) == digest
    assert {"README.md", "sample.py", "Sample.kt", "Sample.swift", "labels.txt"} <= set(
        bundle["files"]
    )
    card = (folder / "README.md").read_text()
    assert result["artefact"]["sha256"] in card
    assert "MIT" in card
    done = subprocess.run(
        [sys.executable, "sample.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["float32 (2, 4)", "int64 (2,)"]


def test_real_inputs_are_taken_by_name(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(
        tmp_path / "in.npz",
        x=np.ones((3, 2, 5), np.float32),
        ids=np.array([[0, 1], [2, 0], [1, 1]]),
    )
    words = ("--export-format", "onnx", "-o", str(tmp_path / "out"), "--format", "json")
    code, out, _ = deploy(capsys, str(net), *SHAPES, "--inputs", str(tmp_path / "in.npz"), *words)
    assert code == 0
    assert json.loads(out)["network"]["name"] == "mine"
    assert (tmp_path / "out" / "mine-fp32.onnx").is_file()
    assert not (tmp_path / "out" / "mine-fp32.onnx.architecture.json").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "Say where the network is to go"),
        (("--device", "host"), "not fixed: x float32 batchx5, ids int64 batch"),
        (("--device", "host", "--backend", "xnnpack"), "no maintained converter"),
        (
            ("--device", "iphone", "--backend", "onnxruntime"),
            "cannot run the backend 'onnxruntime'",
        ),
        (("--device", "simulated"), "cannot run|no maintained|operators of this kit"),
        (("--device", "host", "--dtype", "int8"), "taken as it is, not made int8"),
        (("--device", "host", "--data", "digits"), "--data is for networks of this kit"),
        (("--device", "host", "--weights", "w.pt"), "--weights|no weights"),
        (("--device", "host", "--inputs", "none.npz"), "no inputs at none.npz"),
        (("--device", "host", "--shape", "x=2x5", "--shape", "x=2x5"), "twice"),
        (("--device", "host", "--labels", "none.txt"), "add --bundle FOLDER"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    net: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    code, out, err = deploy(capsys, str(net), *words)
    assert code in (2, 3)
    assert out == ""
    assert any(one in err.replace("\n", " ") for one in why.split("|")), err


def test_shapes_of_a_network_of_the_kit_are_its_own(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = deploy(capsys, "FBNet-C", "--device", "host", "--shape", "x=1x3x8x8")
    assert code == 2
    assert "--shape and --inputs are for models of your own" in err.replace("\n", " ")
