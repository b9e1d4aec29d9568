"""Which texts name a model of the user's own, and which files are refused, with a remedy."""

from pathlib import Path

import pytest

from deploy.models.routes import check_route, default_backend
from deploy.models.source import MOST_BYTES, find_source
from search.errors import UsageError


@pytest.mark.parametrize(("name", "kind"), [("a.pt2", "pt2"), ("a.onnx", "onnx"), ("a.PTE", "pte")])
def test_a_file_of_a_known_format_is_a_model(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    source = find_source(str(tmp_path / name))
    assert source.kind == kind
    assert source.name == "a"


def test_a_function_in_a_python_file_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("x = 1\n")
    source = find_source(f"{tmp_path}/net.py:make")
    assert (source.kind, source.factory, source.name) == ("factory", "make", "make")


@pytest.mark.parametrize("text", ["FBNet-S8", "net.json", "fbnet-c", "some/folder", "x:y"])
def test_anything_else_is_left_to_networks_of_the_kit(text: str) -> None:
    assert find_source(text) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.pt", "is a pickle: loading it could run any program.*torch.export.save"),
        ("a.pth", "is a pickle"),
        ("a.ckpt", "is a pickle"),
        ("a.safetensors", "weights without a model"),
        ("a.tflite", "no maintained converter"),
        ("a.keras", "Export it as ONNX"),
        ("a.mlpackage", "Apple's systems alone"),
        ("a.py", "a program, not a model.*a.py:FUNCTION"),
    ],
)
def test_other_formats_are_refused_with_the_way_to_one_that_is_taken(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        find_source(name)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["a.pt2", "a.onnx", "a.pte", "a.py:make"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        find_source(str(tmp_path / name))


def test_a_file_of_three_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as stream:
        stream.truncate(3 * 10**9)  # sparse: it takes no room
    assert path.stat().st_size > MOST_BYTES
    with pytest.raises(UsageError, match=r"has 3\.0 GB; files of 2\.1 GB at most") as caught:
        find_source(str(path))
    assert "quantise" in caught.value.remedy


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").touch()
    with pytest.raises(UsageError, match="is empty"):
        find_source(str(tmp_path / "a.pt2"))


@pytest.mark.parametrize(
    ("name", "backend", "why"),
    [
        ("a.onnx", "xnnpack", "no maintained converter leads from ONNX to ExecuTorch"),
        ("a.onnx", "coreml", "no maintained converter"),
        ("a.pte", "onnxruntime", "is an ExecuTorch program"),
        ("a.pt2", "simulated", "operators of this kit's spaces alone"),
        ("a.pt2", "nothing", "not on nothing"),
    ],
)
def test_a_way_that_does_not_exist_is_named(
    tmp_path: Path, name: str, backend: str, why: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=why) as caught:
        check_route(find_source(str(tmp_path / name)), backend)
    assert caught.value.remedy


def test_each_format_has_a_backend_by_default(tmp_path: Path) -> None:
    for name, own, backend in (
        ("a.onnx", "xnnpack", "onnxruntime"),
        ("a.pte", "xnnpack", "xnnpack"),
        ("a.pt2", "xnnpack", "xnnpack"),
        ("a.pt2", None, "xnnpack"),
        ("a.pt2", "coreml", "coreml"),
    ):
        (tmp_path / name).write_bytes(b"x")
        assert default_backend(find_source(str(tmp_path / name)), own) == backend
