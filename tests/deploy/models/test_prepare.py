"""Torch models become checked files: what is not delegated is told, not refused."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="models are torch's")
pytest.importorskip("executorch.exir", reason="programs are lowered by ExecuTorch")


from deploy.models import prepare as module
from deploy.models.prepare import ModelOptions, OwnModel, prepare_model
from deploy.models.source import find_source
from search.errors import ExportError, UsageError

FACTORY = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(7, 4)
        self.out = torch.nn.Linear(4, 3)

    def forward(self, x, *, ids, mask):
        picked = torch.where(mask, self.table(ids), torch.zeros(4))
        return {"scores": self.out(x + picked), "best": picked.argmax(-1)}


def net():
    torch.manual_seed(0)
    inputs = {
        "x": torch.randn(2, 4),
        "ids": torch.tensor([5, 6]),
        "mask": torch.tensor([[True], [False]]),
    }
    return Net(), inputs


def numbered():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3)
    return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(4)), torch.randn(1, 3, 6, 6)


def plain():
    return torch.nn.Linear(4, 3)


def branches():
    class Branches(torch.nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    return Branches(), torch.ones(3)


def fails():
    raise RuntimeError("no weights")


def nothing():
    return 7
"""


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "own_net.py"
    path.write_text(FACTORY)
    return path


@pytest.fixture(scope="module")
def prepared(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> OwnModel:
    """Lowered once: ExecuTorch takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        source = find_source(f"{factory}:net")
        return prepare_model(source, "xnnpack", ModelOptions(shapes={}))


def test_inputs_keep_their_names_and_dtypes(prepared: OwnModel) -> None:
    assert [(spec.name, spec.sizes, spec.dtype) for spec in prepared.inputs] == [
        ("x", (2, 4), "float32"),
        ("ids", (2,), "int64"),
        ("mask", (2, 1), "bool"),
    ]
    assert [spec.dtype for spec in prepared.outputs] == ["float32", "int64"]


def test_what_xnnpack_does_not_take_is_listed(prepared: OwnModel) -> None:
    assert prepared.delegates >= 1
    assert {"aten::embedding.out", "aten::where.self_out", "aten::argmax.out"} <= set(
        prepared.outside
    )


def test_the_file_computes_what_torch_does_on_the_model_s_own_example(prepared: OwnModel) -> None:
    assert prepared.artefact.relative_error <= 1e-6
    assert prepared.reference == "torch"
    (case,) = prepared.cases  # random integers might be no index
    assert case.inputs[1].tolist() == [5, 6]
    assert case.expected[0].shape == (2, 3)
    assert any("was executed on this computer" in note for note in prepared.notes)


def test_batch_norm_in_a_model_of_numbered_parts_is_delegated(
    factory: Path, own_cache: Path
) -> None:
    source = find_source(f"{factory}:numbered")
    lowered = prepare_model(source, "xnnpack", ModelOptions(shapes={}, cases=1))
    assert (lowered.delegates, lowered.outside) == (1, {})
    assert lowered.artefact.relative_error <= 1e-5


def test_a_lowered_program_is_taken_as_it_is(
    prepared: OwnModel, tmp_path: Path, own_cache: Path
) -> None:
    path = tmp_path / "net.pte"
    path.write_bytes(prepared.artefact.path.read_bytes())
    again = prepare_model(find_source(str(path)), "xnnpack", ModelOptions(shapes={}, cases=2))
    assert again.artefact.sha256 == prepared.artefact.sha256
    assert again.outside == prepared.outside
    assert len(again.cases) == 2
    with pytest.raises(UsageError, match="lowered for fixed shapes"):
        prepare_model(find_source(str(path)), "xnnpack", ModelOptions(shapes={"": (1,)}))


def test_a_file_that_computes_something_else_is_refused(
    prepared: OwnModel, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pte"
    path.write_bytes(prepared.artefact.path.read_bytes())
    monkeypatch.setattr(module, "largest_difference", lambda *_: 2e-4)
    with pytest.raises(ExportError, match=r"computes something else.*error 0\.0002") as caught:
        prepare_model(find_source(str(path)), "xnnpack", ModelOptions(shapes={}))
    assert "--inputs" in caught.value.remedy


def test_given_inputs_are_compared_each(
    prepared: OwnModel, tmp_path: Path, own_cache: Path
) -> None:
    path = tmp_path / "net.pte"
    path.write_bytes(prepared.artefact.path.read_bytes())
    values = {
        "input0": np.ones((3, 2, 4), np.float32),
        "input1": np.array([[0, 1], [2, 3], [4, 5]]),
        "input2": np.ones((3, 2, 1), bool),
    }
    np.savez(tmp_path / "in.npz", **values)  # type: ignore[arg-type]
    options = ModelOptions(shapes={}, inputs=tmp_path / "in.npz")
    assert len(prepare_model(find_source(str(path)), "xnnpack", options).cases) == 3


@pytest.mark.parametrize(
    ("name", "shapes", "kind", "why"),
    [
        ("plain", {}, UsageError, r"without example inputs.*--shape 1x3x224x224"),
        ("plain", {"y": (1, 4)}, UsageError, "no input 'y'. Its inputs: input"),
        ("branches", {}, ExportError, "torch.export does not take the model"),
        ("fails", {}, UsageError, "failed: RuntimeError: no weights"),
        ("nothing", {}, UsageError, "returned int, not a model"),
        ("absent", {}, UsageError, "has no function absent"),
    ],
)
def test_factories_that_make_no_model_are_refused(
    factory: Path, name: str, shapes: dict[str, tuple[int, ...]], kind: type[Exception], why: str
) -> None:
    with pytest.raises(kind, match=why) as caught:
        prepare_model(find_source(f"{factory}:{name}"), "xnnpack", ModelOptions(shapes=shapes))
    assert getattr(caught.value, "remedy", "") or "absent" in name
