"""Models of the user's own as Core ML packages: converted, and computed on this machine."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("coremltools", reason="packages are made by coremltools")

from deploy.cli import main
from deploy.models import coreml_file
from deploy.models.prepare import ModelOptions, OwnModel, prepare_model
from deploy.models.source import ModelSource
from device_agents.device import load_device
from profiler.measuring.own_models import refuse_interface
from search.errors import DeviceError, ExportError, UsageError

_MODELS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Hardswish(),
        )
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        tokens = self.body(image).flatten(2).transpose(1, 2)
        tokens = self.norm(tokens)
        weights = (tokens @ tokens.transpose(1, 2)).softmax(-1)
        return self.head((weights @ tokens).mean(1))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows, self.linear = nn.Embedding(11, 6), nn.Linear(6, 4)

    def forward(self, x, ids):
        scores = self.linear(x + self.rows(ids))
        return scores, scores.argmax(-1)


class Odd(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, -1)


def net():
    torch.manual_seed(0)
    return Net(), torch.randn(1, 3, 16, 16)


def two():
    torch.manual_seed(0)
    return Two(), (torch.randn(2, 6), torch.tensor([1, 5]))


def odd():
    return Odd(), torch.randn(1, 8)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "models.py"
    path.write_text(_MODELS)
    return path


def prepared(models: Path, factory: str, **options: object) -> OwnModel:
    source = ModelSource(kind="factory", path=models, factory=factory)
    return prepare_model(source, "coreml-cpu_and_ne", ModelOptions(shapes={}, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "limit"), [("fp16", 5e-3), ("fp32", 1e-5)])
def test_a_package_computes_what_torch_does(
    models: Path, own_cache: Path, dtype: str, limit: float
) -> None:
    model = prepared(models, "net", dtype=dtype)
    assert model.artefact.relative_error < limit
    assert model.dtype == dtype
    names = {"fp16": "float16", "fp32": "float32"}
    assert [spec.dtype for spec in model.inputs] == [names[dtype]]
    assert [spec.dtype for spec in model.wire_inputs] == ["float32"]
    assert (model.inputs[0].name, model.inputs[0].shape) == ("image", (1, 3, 16, 16))
    assert len(model.cases) == 4
    refuse_interface(model, load_device("iphone"))


def test_several_inputs_and_integers_are_compared_but_not_called_on_a_phone(
    models: Path, own_cache: Path
) -> None:
    model = prepared(models, "two")
    assert [spec.dtype for spec in model.inputs] == ["float16", "int32"]
    assert [spec.dtype for spec in model.outputs] == ["float16", "int32"]
    assert model.artefact.relative_error < 5e-3
    with pytest.raises(DeviceError, match="one input and one output"):
        refuse_interface(model, load_device("iphone"))


def test_a_package_of_another_model_is_refused(
    models: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = coreml_file.run_package
    monkeypatch.setattr(
        coreml_file,
        "run_package",
        lambda *arguments: tuple(np.roll(y, 1) for y in function(*arguments)),
    )
    with pytest.raises(ExportError, match="computes something else"):
        prepared(models, "two")


def test_operations_that_cannot_be_computed_here_are_named(models: Path, own_cache: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot be computed on this computer.*cumsum"):
        prepared(models, "odd")


def test_number_formats_that_are_not_made_are_refused(models: Path) -> None:
    with pytest.raises(UsageError, match="for coreml-cpu_and_ne it becomes fp16 or fp32"):
        prepared(models, "net", dtype="w8")


def _deploy(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deploy", *words])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0), *capsys.readouterr()


def test_a_package_is_exported_from_the_command_line(
    models: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--export-format", "mlpackage", "-o", str(tmp_path / "out"), "--format", "json")
    code, out, err = _deploy(capsys, f"{models}:net", *words, "--deployment-target", "iOS17")
    assert code == 0, err
    result = json.loads(out)
    assert result["artefact"]["file"] == "net-fp16.mlpackage"
    assert result["network"]["dtype"] == "fp16"
    assert (tmp_path / "out" / "net-fp16.mlpackage" / "Manifest.json").is_file()


@pytest.mark.parametrize(
    ("name", "words", "why"),
    [
        ("x.onnx", ("--export-format", "mlpackage", "-o", "out"), "no maintained converter leads"),
        ("x.onnx", ("--device", "iphone", "--backend", "coreml"), "no maintained converter leads"),
        ("x.pte", ("--export-format", "mlpackage", "-o", "out"), "is an ExecuTorch program"),
        ("m.py:net", ("--export-format", "mlpackage", "-o", "o", "--dtype", "w8"), "fp16 or fp32"),
        (
            "m.py:net",
            ("--export-format", "pte", "-o", "o", "--deployment-target", "iOS17"),
            "for Core ML packages",
        ),
    ],
)
def test_what_cannot_become_a_package_is_refused_with_a_word(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    words: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name.partition(":")[0]).write_text("x")
    code, _, err = _deploy(capsys, name, *words)
    assert code == 2
    assert why in err.replace("\n", " ")
