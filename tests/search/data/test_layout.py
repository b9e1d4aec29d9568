"""Splits as people name them are recognised; where it is not certain, it is asked."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.data.folder import ImageFolder, read_folder
from search.data.layout.parts import find_parts
from search.data.layout.roles import role_of, roles_of
from search.errors import UsageError

PAIR = {"cat": 3, "dog": 2}
FEW = {"cat": 1, "dog": 1}


def _counts(found: ImageFolder) -> tuple[int, int | None]:
    return len(found.train), None if found.test is None else len(found.test)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "valid"),
        ("train", "dev"),
        ("train", "eval"),
        ("Train", "Valid"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("cifar_train", "cifar_test"),
        ("train2017", "val2017"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("TrainImages", "TestImages"),
        ("images-training", "images-validation"),
        ("trainset", "testset"),
    ],
)
def test_splits_are_recognised_by_what_their_names_mean(
    make_folder: Any, train: str, test: str
) -> None:
    found = read_folder(make_folder({train: PAIR, test: FEW}))
    assert found.classes == ("cat", "dog")
    assert _counts(found) == (5, 2)
    assert found.notes[0] == (
        f"The split: 5 training images of {train}/, 2 test images of {test}/."
    )


def test_a_third_part_is_named_and_not_used(make_folder: Any) -> None:
    found = read_folder(make_folder({"train": PAIR, "test": {"x": 1, "y": 1}, "valid": FEW}))
    assert _counts(found) == (5, 2)
    assert "test/ is not used." in found.notes


def test_a_test_folder_inside_the_class_folder_level_is_a_split_of_it(make_folder: Any) -> None:
    found = read_folder(make_folder({**PAIR, "test": FEW}))
    assert (found.classes, _counts(found)) == (("cat", "dog"), (5, 2))


def test_classes_that_are_each_divided_are_put_together(make_folder: Any) -> None:
    parts = {"train": 3, "val": 1, "test": 2}
    found = read_folder(make_folder({"cat": parts, "dog": parts}))
    assert (found.classes, _counts(found)) == (("cat", "dog"), (6, 2))
    assert "*/test/ is not used." in found.notes


def test_a_folder_round_a_part_is_entered(make_folder: Any) -> None:
    found = read_folder(make_folder({"seg_train": {"seg_train": PAIR}, "seg_test": {"in": FEW}}))
    assert _counts(found) == (5, 2)


@pytest.mark.parametrize(
    "names", [("bullet train", "bus"), ("test tube", "flask"), ("dev board", "breadboard")]
)
def test_classes_whose_names_hold_such_a_word_stay_classes(
    make_folder: Any, names: tuple[str, str]
) -> None:
    found = read_folder(make_folder({names[0]: {"a": 1, "b": 1}, names[1]: 2}))
    assert (set(found.classes), found.test) == (set(names), None)


def test_a_flat_test_folder_beside_classes_is_no_class(make_folder: Any) -> None:
    found = read_folder(make_folder({**PAIR, "test": 4}))
    assert (found.classes, found.test) == (("cat", "dog"), None)
    assert any("test/ holds no class folders" in note for note in found.notes)


def test_unlabelled_test_images_beside_a_split_are_named(make_folder: Any) -> None:
    found = read_folder(make_folder({"train": PAIR, "test": 4}))
    assert (found.test, len(found.train)) == (None, 5)
    assert any("test/ holds no class folders" in note for note in found.notes)


def test_validation_images_whose_labels_are_in_a_text_file_have_their_sentence(
    make_folder: Any, tmp_path: Path
) -> None:
    root = make_folder(
        {"train": {"n01": {"images": 3}, "n02": {"images": 2}}, "val": {"images": 4}}
    )
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\n")
    with pytest.raises(UsageError, match=r"no class folders.*val_annotations\.txt") as caught:
        read_folder(root)
    assert "--train-folder train" in caught.value.remedy
    alone = read_folder(root, train_folder="train")
    assert (alone.classes, _counts(alone)) == (("n01", "n02"), (5, None))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"first": FEW, "second": FEW}, "hold the same folders"),
        ({"train": {"a": 1, "b": 1}, "bus": 1, "car": 1}, "not certain"),
        ({"train": PAIR, "Train": PAIR}, "not certain"),
        ({"train": PAIR, "training": PAIR}, "not certain"),
        ({"cat": 1, "dog": 1, "val": {"x": 1, "y": 1}}, "not certain"),
        ({"train": 3, "test": 3}, "no class folders"),
        ({"Training": 3, "Validation": 3}, "no class folders"),
    ],
)
def test_a_doubtful_layout_is_asked_about_and_nothing_is_trained(
    make_folder: Any, content: Any, message: str
) -> None:
    root = make_folder(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_folder(root)
    assert "--train-folder" in caught.value.remedy or "class folders" in caught.value.remedy


def test_a_stated_split_is_taken_as_it_is(make_folder: Any) -> None:
    root = make_folder({"first": PAIR, "second": FEW})
    found = read_folder(root, train_folder="first", val_folder="second")
    assert _counts(found) == (5, 2)
    assert read_folder(root, train_folder=".").classes == ("first", "second")
    with pytest.raises(UsageError, match="no folder 'third'") as caught:
        read_folder(root, train_folder="third")
    assert "first, second" in caught.value.remedy
    with pytest.raises(UsageError, match="needs --train-folder"):
        read_folder(root, val_folder="second")


# --- files that are no images ----------------------------------------------------------


def test_what_is_passed_over_is_counted_by_kind_with_three_examples(make_folder: Any) -> None:
    root = make_folder({"train": PAIR, "val": FEW})
    for number in range(5):
        (root / "train" / "cat" / f"{number}.xyz").touch()
    (root / "train" / "cat" / "0001").touch()
    (root / "val" / "dog" / "notes.txt").touch()
    (root / "train" / "loose.png").touch()
    notes = read_folder(root).notes
    assert (
        "5 files passed over, .xyz: 'train/cat/0.xyz', 'train/cat/1.xyz', 'train/cat/2.xyz', ..."
        in " ".join(notes)
    )
    assert "1 file passed over, no ending: 'train/cat/0001'." in notes
    assert "1 file passed over, .txt: 'val/dog/notes.txt'." in notes
    assert any("in no class folder of train/" in note and "loose.png" in note for note in notes)


def test_photographs_of_phones_that_cannot_be_read_are_named_with_the_remedy(
    make_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.data.layout import image_files

    monkeypatch.setattr(image_files, "readable_suffixes", lambda: image_files.SUFFIXES)
    root = make_folder(PAIR)
    for path in [*(root / "dog").iterdir()]:
        path.rename(path.with_suffix(".HEIC"))
    with pytest.raises(UsageError, match=r"No images in 1 of 2 class folders \('dog'\)") as caught:
        read_folder(root)
    told = "2 files passed over, .heic (pip install pillow-heif to read them)"
    assert told in caught.value.remedy


def test_archives_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("train.tar", "val.tar"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds no class folders") as caught:
        read_folder(tmp_path)
    assert "train.tar, val.tar" in caught.value.remedy


# --- names ----------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=5))
def test_any_names_have_roles_or_none(names: list[str]) -> None:
    assert set(roles_of(names)) <= set(names)


@pytest.mark.parametrize(
    "name", ["constraint", "restrain", "contest", "latest", "evaluate", "2017"]
)
def test_a_word_inside_another_is_no_role(name: str) -> None:
    assert role_of(name) is None


def test_a_link_round_in_a_circle_ends(make_folder: Any) -> None:
    root = make_folder(PAIR)
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    assert len(read_folder(root).train) == 5
    assert find_parts(root).test is None
