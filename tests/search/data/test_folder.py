"""What a folder of class folders is taken to hold."""

import os
from pathlib import Path
from typing import Any

import pytest

from search.data.folder import read_folder
from search.errors import UsageError


def _labels_by_name(listing: Any) -> dict[str, int]:
    return dict(zip(listing.names, listing.labels.tolist(), strict=True))


def test_classes_are_numbered_by_sorted_name_and_images_listed_in_order(make_folder: Any) -> None:
    found = read_folder(make_folder({"zebra": 2, "ant": 1}))
    assert found.classes == ("ant", "zebra")
    assert found.test is None
    assert _labels_by_name(found.train) == {
        "ant/000.png": 0,
        "zebra/000.png": 1,
        "zebra/001.png": 1,
    }


@pytest.mark.parametrize("test", ["val", "validation", "test", "Val"])
def test_a_split_is_recognised_by_its_names(make_folder: Any, test: str) -> None:
    found = read_folder(make_folder({"train": {"a": 3, "b": 2}, test: {"a": 1, "b": 1}}))
    assert found.test is not None
    assert (len(found.train), len(found.test)) == (5, 2)
    assert found.test.names[0] == f"{test}/a/000.png"


def test_val_goes_before_test(make_folder: Any) -> None:
    root = make_folder({"train": {"a": 1, "b": 1}, "test": {"x": 9}, "val": {"a": 2, "b": 2}})
    found = read_folder(root)
    assert found.test is not None
    assert len(found.test) == 4


def test_a_train_folder_alone_is_not_split(make_folder: Any) -> None:
    found = read_folder(make_folder({"train": {"a": 1, "b": 1}}))
    assert found.classes == ("a", "b")
    assert found.test is None


def test_a_class_may_be_called_train(make_folder: Any) -> None:
    assert read_folder(make_folder({"bus": 1, "train": 1})).classes == ("bus", "train")


def test_one_folder_round_all_others_is_entered(make_folder: Any, tmp_path: Path) -> None:
    make_folder({"a": 1, "b": 1}, root=tmp_path / "outer" / "inner" / "images")
    assert read_folder(tmp_path / "outer").classes == ("a", "b")


def test_names_with_spaces_accents_and_upper_case_endings_are_found(make_folder: Any) -> None:
    root = make_folder({"chien d'été": 1, "猫 🐈": 2}, suffix=".PNG")
    found = read_folder(root)
    assert found.classes == ("chien d'été", "猫 🐈")
    assert all((root / name).is_file() for name in found.train.names)


def test_hidden_and_foreign_files_are_passed_over(make_folder: Any) -> None:
    root = make_folder({"a": 1, "b": 1})
    (root / "a" / ".DS_Store").write_bytes(b"x")
    (root / "a" / "._000.png").write_bytes(b"x")
    (root / "a" / "Thumbs.db").write_bytes(b"x")
    (root / "README.png").write_bytes(b"x")
    (root / ".git").mkdir()
    (root / "__MACOSX" / "a").mkdir(parents=True)
    found = read_folder(root)
    assert found.classes == ("a", "b")
    assert len(found.train) == 2


def test_a_class_folder_may_be_a_link_and_may_hold_folders(
    make_folder: Any, tmp_path: Path
) -> None:
    elsewhere = make_folder({"deep/deeper": 2, "flat": 1}, root=tmp_path / "elsewhere")
    root = make_folder({"a": 1})
    (root / "linked").symlink_to(elsewhere, target_is_directory=True)
    (root / "a" / "round").symlink_to(root, target_is_directory=True)
    found = read_folder(root)
    assert _labels_by_name(found.train) == {
        "a/000.png": 0,
        "linked/deep/deeper/000.png": 1,
        "linked/deep/deeper/001.png": 1,
        "linked/flat/000.png": 1,
    }


def test_a_dead_link_is_listed_and_a_pipe_is_not(make_folder: Any) -> None:
    root = make_folder({"a": 1, "b": 1})
    (root / "a" / "dead.jpg").symlink_to(root / "nowhere.jpg")
    os.mkfifo(root / "b" / "pipe.jpg")
    assert read_folder(root).train.names == ("a/000.png", "a/dead.jpg", "b/000.png")


def test_the_fingerprint_changes_with_names_and_contents_only(make_folder: Any) -> None:
    root = make_folder({"a": 2, "b": 1})
    before = read_folder(root).train.fingerprint
    assert read_folder(root).train.fingerprint == before
    path, facts = root / "a" / "000.png", (root / "a" / "000.png").stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    changed = read_folder(root).train.fingerprint
    path.rename(root / "a" / "other.png")
    assert len({before, changed, read_folder(root).train.fingerprint}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no class folders"),
        ({"only": 3}, "holds one class only, 'only'"),
        ({"train": {"only": 3}, "val": {"only": 1}}, "holds one class only"),
        ({"a": 1, "b": 0}, r"No images in 1 of 2 class folders \('b'\)"),
        ({"train": {"a": 1, "b": 1}, "val": {"a": 1, "c": 1}}, r"\('b'\) that val/ has not"),
        ({"train": {"a": 1, "b": 1}, "val": {"a": 1, "b": 1, "d": 1}}, r"\('d'\) that train/ has"),
        ({"train": {"a": 1, "b": 1}, "val": {"a": 1, "b": 0}}, "No images in 1 of 2"),
        ({"val": {"a": 1, "b": 1}}, "holds val/ but no train/"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_a_remedy(
    make_folder: Any, tmp_path: Path, content: Any, message: str
) -> None:
    root = make_folder(content, root=tmp_path / "root")
    root.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match=message) as caught:
        read_folder(root)
    assert caught.value.remedy


def test_images_without_class_folders_are_refused(make_folder: Any) -> None:
    with pytest.raises(UsageError, match="holds no class folders"):
        read_folder(make_folder({"a": 2}) / "a")
