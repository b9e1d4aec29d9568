"""`.pt2` files that would run something are refused before torch opens them."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="programs are torch's")

import torch

from deploy.models.archive import checked_archive
from deploy.models.program import load_torch_model
from deploy.models.source import find_source
from search.errors import UsageError

Change = Callable[[str, bytes], bytes | None]


class Halves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "halves.pt2"
    size = torch.export.Dim("size", min=2, max=64)
    program = torch.export.export(Halves(), (torch.ones(1, 4),), dynamic_shapes=({1: size},))
    torch.export.save(program, path)
    return path


def changed(path: Path, target: Path, change: Change, more: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                made.writestr(name, content)
        for name, content in (more or {}).items():
            made.writestr(f"halves/{name}", content)
    return target


class Trap:
    """Unpickling it raises an error that nobody catches."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exit, ("executed",)


def trapped() -> bytes:
    buffer = io.BytesIO()
    torch.save(Trap(), buffer)
    return buffer.getvalue()


def test_a_plain_program_is_let_through_and_computes(exported: Path) -> None:
    assert checked_archive(exported) == exported.read_bytes()
    model = load_torch_model(find_source(str(exported)), {"": (1, 8)})
    assert model.inputs[0].sizes == (1, 8)
    (answer,) = model.answers([model.values()[0] + 3])
    assert answer.tolist() == [[1.5] * 8]


def test_its_open_dimension_must_be_fixed(exported: Path) -> None:
    with pytest.raises(UsageError, match="not fixed") as caught:
        load_torch_model(find_source(str(exported)), {})
    assert "--shape x=1xN" in caught.value.remedy


def test_a_size_outside_of_the_program_s_range_is_refused(exported: Path) -> None:
    with pytest.raises(UsageError, match="between 2 and 64"):
        load_torch_model(find_source(str(exported)), {"x": (1, 65)})


def test_pickled_example_inputs_are_refused_unopened(exported: Path, tmp_path: Path) -> None:
    path = changed(
        exported,
        tmp_path / "a.pt2",
        lambda name, content: trapped() if "sample_inputs" in name else content,
    )
    with pytest.raises(UsageError, match="example inputs that are more than tensors"):
        load_torch_model(find_source(str(path)), {"": (1, 4)})


@pytest.mark.parametrize("place", ["custom_obj_0", "opaque_obj_0", "weight_0"])
def test_pickled_constants_are_refused_unopened(exported: Path, tmp_path: Path, place: str) -> None:
    config = {"config": {"c": {"path_name": place, "use_pickle": True, "is_param": False}}}

    def change(name: str, content: bytes) -> bytes:
        return json.dumps(config).encode() if "constants_config" in name else content

    trap = {f"data/constants/{place}": pickle.dumps(Trap())}
    path = changed(exported, tmp_path / "a.pt2", change, trap)
    with pytest.raises(UsageError, match=r"'c' as a pickled object.*torch.export.save"):
        load_torch_model(find_source(str(path)), {"": (1, 4)})


@pytest.mark.parametrize(
    "text",
    [
        "exit('executed')",
        "__import__('os')",
        "Symbol('s0').__class__",
        "().real",
        "Symbol('s0'); exit()",
        "[x for x in range(9)]",
    ],
)
def test_expressions_that_torch_would_evaluate_are_refused(
    exported: Path, tmp_path: Path, text: str
) -> None:
    def change(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        model = json.dumps(json.loads(content))
        start = model.index('"expr_str": "') + len('"expr_str": "')
        end = model.index('"', start)
        return (model[:start] + text + model[end:]).encode()

    path = changed(exported, tmp_path / "a.pt2", change)
    with pytest.raises(UsageError, match="which torch would evaluate"):
        load_torch_model(find_source(str(path)), {"": (1, 4)})


def test_guards_in_a_file_are_not_executed(exported: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        return json.dumps({**json.loads(content), "guards_code": ["exit('executed')"]}).encode()

    path = changed(exported, tmp_path / "a.pt2", change)
    model = load_torch_model(find_source(str(path)), {"": (1, 4)})
    assert model.answers(model.values())[0].shape == (1, 4)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["serialized_exported_program.json", "version"], "before 2.8"),
        (["archive/data.pkl", "archive/version"], r"checkpoint or TorchScript \(pickled code\)"),
        (["readme.txt"], "holds no exported program"),
    ],
)
def test_other_archives_are_told_what_they_are(tmp_path: Path, names: list[str], why: str) -> None:
    path = tmp_path / "a.pt2"
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, b"")
    with pytest.raises(UsageError, match=why) as caught:
        checked_archive(path)
    assert "torch.export.save" in caught.value.remedy


@pytest.mark.parametrize("content", [b"no archive", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt2"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"no archive of torch\.export"):
        checked_archive(path)


def test_a_program_that_is_cut_off_is_refused(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    path.write_bytes(exported.read_bytes()[:-60])
    with pytest.raises(UsageError):
        load_torch_model(find_source(str(path)), {"": (1, 4)})
