"""A bundle says how an image becomes the input, and its samples do what it says."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the model is written with onnx")
pytest.importorskip("onnxruntime", reason="the sample runs the model")
pytest.importorskip("PIL", reason="the sample reads an image")
pytest.importorskip("torch", reason="images are scaled by torch")

import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from deploy.artefact import Artefact
from deploy.bundle.card import model_card
from deploy.bundle.facts import BundleFacts, gather_facts
from deploy.bundle.samples import kotlin_sample, python_sample, samples, swift_sample
from deploy.bundle.write import write_bundle
from deploy.verification.result import DeployResult
from search.architecture import Architecture
from search.data.base import PixelScaling
from search.data.decode import central, read_image, whole
from search.data.preprocessing import Preparation, write_preparation
from search.errors import UsageError
from search.files import sha256_file
from search.operators.spec import parse_key

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.75)
CLASSES = ("red", "green", "blue|`x`")


def architecture(side: int) -> Architecture:
    half = side // 2
    keys = (
        f"conv_k3_g1_relu_i3_o8_h{side}_w{side}_s2_b1_fp32",
        f"classifier_i8_o3_h{half}_w{half}_b1_fp32",
    )
    return Architecture(name="My net", operators=tuple(map(parse_key, keys)))


def channel_means(path: Path, side: int) -> None:
    """A model whose three scores are the means of the input's channels."""
    shape = np.array([1, 3, side * side], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["flat"]),
            helper.make_node("ReduceMean", ["flat"], ["y"], axes=[2], keepdims=0),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, side, side))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(shape, "shape")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    path.write_bytes(made.SerializeToString())


def facts_of(folder: Path, side: int, *, note: bool = True, suffix: str = ".onnx") -> BundleFacts:
    folder.mkdir(exist_ok=True)
    model, weights = folder / "cached.onnx", folder / "weights.pt"
    channel_means(model, side)
    weights.touch()
    if note:
        write_preparation(
            Preparation(data="colours", classes=CLASSES, resolution=side, mean=MEAN, std=STD),
            weights,
        )
    result = DeployResult(
        architecture=architecture(side),
        artefact=Artefact(
            path=model,
            sha256=sha256_file(model),
            exporter="onnx-fp32",
            relative_error=1e-7,
            size_bytes=model.stat().st_size,
            build_seconds=1.0,
        ),
        backend="onnxruntime",
        weights=str(weights),
        calibration="none",
        file=folder / f"my-net-fp32{suffix}",
        report=None,
    )
    return gather_facts(result, weights=weights, labels=None, licence="Apache-2.0")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)
    pixels[:, 70:] //= 3  # the sides differ, so that another crop would show
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


# Stands in for ExecuTorch, whose methods read an input's memory as it lies there.
RUNTIME = """
class Runtime:
    get = load_program = load_method = lambda self=None, name=None: Runtime()

    def execute(self, inputs):
        (x,) = inputs
        return [x.as_strided(x.shape, x.new_empty(x.shape).stride()).mean((2, 3))]
"""


@pytest.mark.parametrize("suffix", [".onnx", ".pte"])
@pytest.mark.parametrize(("side", "area"), [(80, central), (32, whole)])
def test_the_python_sample_prepares_an_image_as_training_did(
    tmp_path: Path, photo: Path, side: int, area: object, suffix: str
) -> None:
    folder = tmp_path / "bundle"
    write_bundle(facts_of(tmp_path / "from", side, suffix=suffix), folder)
    if suffix == ".pte":
        (folder / "executorch").mkdir()
        (folder / "executorch" / "runtime.py").write_text(RUNTIME)
    done = subprocess.run(
        [sys.executable, "sample.py", str(photo)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pixels = torch.from_numpy(read_image(photo, side, area).copy())  # type: ignore[arg-type]
    image = PixelScaling(mean=MEAN, std=STD).apply(pixels.permute(2, 0, 1)[None])
    wanted = dict(zip(CLASSES, image.mean((2, 3))[0].tolist(), strict=True))
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    found = {label: float(score) for score, label in lines}
    assert found == pytest.approx(wanted, abs=5e-3)
    assert list(found) == sorted(wanted, key=lambda label: -wanted[label])


def test_everything_in_the_folder_is_listed_with_its_hash(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(facts_of(tmp_path / "from", 32), folder)
    content = json.loads((folder / "bundle.json").read_text())
    listed = content["files"]
    assert set(listed) == {path.name for path in folder.iterdir()} - {"bundle.json"}
    assert all(sha256_file(folder / name) == digest for name, digest in listed.items())
    assert content["preprocessing"]["mean"] == list(MEAN)
    assert content["preprocessing"]["crop_share"] is None
    assert content["latency_us"] is None
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)


@pytest.mark.parametrize("suffix", [".pte", ".onnx", ".mlpackage"])
@pytest.mark.parametrize("note", [True, False])
def test_samples_are_short_and_name_the_file(tmp_path: Path, suffix: str, note: bool) -> None:
    facts = facts_of(tmp_path, 80, note=note, suffix=suffix)
    made = samples(facts)
    assert ("sample.py" in made) == (suffix != ".mlpackage")
    for text in made.values():
        assert facts.file in text
        assert len(text.splitlines()) <= 26
        assert text.count("{") == text.count("}")
        assert text.count("(") == text.count(")")
    if "sample.py" in made:
        compile(made["sample.py"], "sample.py", "exec")


def test_mean_and_deviation_stand_in_every_language(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, 80, suffix=".pte")
    assert "(0.5, 0.25, 0.125)" in python_sample(facts)
    assert "floatArrayOf(0.5f, 0.25f, 0.125f)" in kotlin_sample(facts)
    assert "[0.5, 0.25, 0.125]" in swift_sample(facts)


def test_names_from_a_model_are_text_in_samples_and_card(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, 80, note=False)
    (x,) = facts.inputs
    strange = replace(facts, name="a|b](http://x)", inputs=(replace(x, name='x$y"; f()'),))
    assert '"x\\$y\\"; f()"' in kotlin_sample(strange)
    assert '"x$y\\"; f()"' in swift_sample(strange)
    assert "a\\|b\\](http://x)" in model_card(strange)


def test_a_card_says_what_is_not_known(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, 80, note=False)
    card = model_card(replace(facts, licence=None))
    assert "Mean and std are not known" in card
    assert "not stated (--licence)" in card
    assert "Nothing was run on a device." in card


def test_labels_of_another_number_than_the_scores_are_refused(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, 32)
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="2 labels, and the output is y float32 1x3"):
        gather_facts(facts.result, weights=None, labels=labels, licence=None)


@pytest.mark.parametrize("content", [b"", b"one\n\nthree\n", b"\xff\xfe"])
def test_labels_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    facts = facts_of(tmp_path, 32)
    labels = tmp_path / "labels.txt"
    labels.write_bytes(content)
    with pytest.raises(UsageError, match="labels"):
        gather_facts(facts.result, weights=None, labels=labels, licence=None)
