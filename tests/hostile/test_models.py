"""Models of one's own and their inputs: damaged files are refused with a sentence that names them.

torch, ONNX and ExecuTorch read such files in their own ways; none of them is to be trusted with
what is no such file.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.hostile.conftest import Material, refused
from tests.hostile.damage import BYTES, Damage
from tests.hostile.test_runs import ARCHIVE
from tests.hostile.watchdog import run

onnx = pytest.importorskip("onnx", reason="models of one's own need the extra 'profile'")


class Small(torch.nn.Module):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layer(image).mean((2, 3))


def _exported() -> bytes:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(1, 3, 8, 8),)), stream)
    return stream.getvalue()


def _graph() -> bytes:
    helper = onnx.helper
    sides = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", sides[:1], sides[1:])
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)]
    ).SerializeToString()
    return model


def _arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((1, 3), np.float32))
    return stream.getvalue()


def _objects(_: bytes) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([{"a": 1}], dtype=object))
    return stream.getvalue()


INPUTS: dict[str, Damage] = {
    **BYTES,
    "objects of Python": _objects,
    "a pickle": ARCHIVE["a pickle"],
    "an archive of a pickle": ARCHIVE["an archive of a pickle"],
}
MODELS: Mapping[str, Mapping[str, Damage]] = {
    "model.pt2": {name: change for name, change in ARCHIVE.items() if name != "a flipped bit"},
    "model.onnx": BYTES,
    "model.pte": BYTES,
    "inputs.npz": INPUTS,
}
MAKERS = {"model.pt2": _exported, "model.onnx": _graph, "inputs.npz": _arrays}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Content of each file; of a program for the device its header is enough."""
    made = {name: make() for name, make in MAKERS.items()}
    return {**made, "model.pte": b"\x20\x00\x00\x00ET12eh00\x20\x00\x00\x00" + bytes(64)}


@pytest.mark.parametrize(("file", "name"), [(f, name) for f, all in MODELS.items() for name in all])
def test_a_damaged_model_is_refused(
    material: Material, whole: Mapping[str, bytes], tmp_path: Path, file: str, name: str
) -> None:
    path = tmp_path / file
    path.write_bytes(MODELS[file][name](whole[file]))
    words: tuple[str, ...] = ("deploy", str(path), "--device", "host", "--quiet")
    if file == "inputs.npz":
        model = tmp_path / "whole.onnx"
        model.write_bytes(whole["model.onnx"])
        words = ("deploy", str(model), "--device", "host", "--quiet", "--inputs", str(path))
    refused(run(*words), path.name)
    assert not Path("owned").exists()
    del material
