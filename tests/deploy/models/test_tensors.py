"""Shapes, values and bytes of a model's inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.models.tensors import (
    TensorSpec,
    parse_shapes,
    pin_shapes,
    random_values,
    read_values,
)
from search.errors import UsageError

IMAGE = TensorSpec(name="x", shape=("N", 3, "H", 8), dtype="float32")
IDS = TensorSpec(name="ids", shape=(1, 4), dtype="int64")


def test_shapes_are_spelled_as_numbers_with_a_name() -> None:
    assert parse_shapes(["x=1x3x8x8", "n=scalar"]) == {"x": (1, 3, 8, 8), "n": ()}
    assert parse_shapes(["1x3x8x8"]) == {"": (1, 3, 8, 8)}


@pytest.mark.parametrize("text", ["x=", "x=1x", "x=axb", "x=-1x3", "x=1,3", "=1 x 3", "x=1.5"])
def test_another_spelling_of_a_shape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a shape"):
        parse_shapes([text])


def test_a_shape_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_shapes(["x=1", "x=2"])


def test_open_dimensions_take_the_shape_asked_for() -> None:
    image, ids = pin_shapes([IMAGE, IDS], {"x": (1, 3, 16, 8)})
    assert image.sizes == (1, 3, 16, 8)
    assert ids == IDS


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ({}, r"not fixed: x float32 Nx3xHx8\. .*--shape x=Nx3xNx8"),
        ({"x": (1, 4, 16, 8)}, "cannot have the shape 1x4x16x8"),
        ({"x": (1, 3, 8)}, "cannot have the shape 1x3x8"),
        ({"y": (1,)}, "no input 'y'. Its inputs: x float32"),
        ({"": (1, 3, 16, 8)}, "2 inputs, and --shape names none"),
        ({"x": (1, 3, 8, 8), "ids": (1, 5)}, "cannot have the shape 1x5"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shapes: dict[str, tuple[int, ...]], why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        pin_shapes([IMAGE, IDS], shapes)
    assert caught.value.remedy or "cannot" not in why


def test_random_values_are_repeatable_and_valid_as_indices() -> None:
    specs = (TensorSpec(name="x", shape=(4, 5), dtype="float32"), IDS)
    first, again, other = (random_values(specs, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].dtype == np.float32
    assert set(first[1].ravel()) <= {0, 1}


def test_bytes_lie_in_memory_order_and_come_back() -> None:
    spec = TensorSpec(name="x", shape=(1, 2, 3, 4), dtype="float32", order=(0, 2, 3, 1))
    value = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    content = spec.to_bytes(value)
    assert np.frombuffer(content, "<f4")[:2].tolist() == [0.0, 12.0]  # channels lie together
    assert np.array_equal(spec.from_bytes(content), value)
    assert len(content) == spec.nbytes


def test_a_file_gives_one_value_or_several_of_each_input(tmp_path: Path) -> None:
    specs = (TensorSpec(name="x", shape=(2, 3), dtype="float32"), IDS)
    x = np.ones((5, 2, 3), np.float32)
    ids = np.zeros((5, 1, 4), np.int64)
    np.savez(tmp_path / "many.npz", x=x, ids=ids)
    np.savez(tmp_path / "one.npz", x=x[0], ids=ids[0])
    assert len(read_values(tmp_path / "many.npz", specs)) == 5
    (case,) = read_values(tmp_path / "one.npz", specs)
    assert [value.shape for value in case] == [(2, 3), (1, 4)]


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.ones((2, 3), np.float32)}, "has no 'ids'"),
        (
            {
                "x": np.ones((2, 3), np.float32),
                "ids": np.zeros((1, 4), np.int64),
                "y": np.ones(1),
            },
            "'y', which is no input",
        ),
        (
            {"x": np.ones((2, 3)), "ids": np.zeros((1, 4), np.int64)},
            r"float64, the model takes float32. .*astype\('float32'\)",
        ),
        (
            {"x": np.ones((3, 2), np.float32), "ids": np.zeros((1, 4), np.int64)},
            "shape 3x2, the model takes 2x3",
        ),
        (
            {"x": np.full((2, 3), np.nan, np.float32), "ids": np.zeros((1, 4), np.int64)},
            "not finite",
        ),
        (
            {"x": np.ones((2, 2, 3), np.float32), "ids": np.zeros((3, 1, 4), np.int64)},
            "holds 2 and 3 values",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_refused(
    tmp_path: Path, arrays: dict[str, Any], why: str
) -> None:
    specs = (TensorSpec(name="x", shape=(2, 3), dtype="float32"), IDS)
    np.savez(tmp_path / "in.npz", **arrays)
    with pytest.raises(UsageError, match=why):
        read_values(tmp_path / "in.npz", specs)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00v\x00{"])
def test_a_file_that_holds_no_arrays_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"inputs by name"):
        read_values(path, [IDS])


def test_objects_in_a_file_are_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("executed",)

    path = tmp_path / "in.npz"
    np.savez(path, ids=np.array([Trap()], dtype=object))
    with pytest.raises(UsageError, match="inputs by name"):
        read_values(path, [IDS])


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "x" * 300])
def test_a_name_that_a_terminal_would_obey_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is named"):
        TensorSpec(name=name, shape=(), dtype="float32")
