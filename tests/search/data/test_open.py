"""From a source's name to its images: limits, classes, broken files, caches."""

import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import search.data.on_demand
import search.data.pixel_cache
from search.data.base import IMAGENET, Data
from search.data.open import open_data
from search.errors import UsageError

SPLIT = {"train": {"a": 10, "b": 8, "c": 6, "d": 4}, "val": {"a": 3, "b": 3, "c": 3, "d": 3}}
SIDES = [16, 72]
"""One resolution held in memory, one decoded on demand."""


def _sizes(labels: torch.Tensor) -> list[int]:
    counts: list[int] = torch.bincount(labels).tolist()
    return counts


@pytest.fixture
def opened(make_folder: Any, tmp_path: Path) -> Any:
    folder = make_folder(SPLIT, size=(100, 80))

    def open_it(side: int = 16, **options: Any) -> Data:
        return open_data(folder, resolution=side, cache=tmp_path / "cache", **options)

    open_it.folder = folder  # type: ignore[attr-defined]
    return open_it


# --- digits --------------------------------------------------------------------


def test_digits_need_no_files_and_keep_their_classes() -> None:
    data = open_data("digits", resolution=32)
    assert data.classes == tuple("0123456789")
    assert len(data.train) + len(data.test) == 1797
    assert abs(len(data.train) - 0.8 * 1797) <= 5
    images, _ = data.train.batch(torch.arange(len(data.train)), None)
    assert torch.equal(images[:, 0], images[:, 1] * 1.0)
    assert abs(float(images.mean())) < 1e-3
    assert abs(float(images.std()) - 1) < 1e-2


def test_digits_are_moved_by_one_of_their_pixels_and_never_flipped() -> None:
    data = open_data("digits", resolution=8)
    every = torch.arange(200)
    plain, _ = data.train.batch(every, None)
    moved, _ = data.train.batch(every, torch.Generator().manual_seed(0))
    inner = plain[:, 0, 2:6, 2:6]
    windows = moved[:, 0].unfold(1, 4, 1).unfold(2, 4, 1)[:, 1:4, 1:4]
    assert (windows == inner[:, None, None]).all(-1).all(-1).flatten(1).any(1).all()


def test_the_split_of_digits_follows_the_seed() -> None:
    first, again, other = (open_data("digits", resolution=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.labels, again.train.labels)
    every = torch.arange(50)
    assert torch.equal(first.test.batch(every, None)[0], again.test.batch(every, None)[0])
    assert not torch.equal(first.test.batch(every, None)[0], other.test.batch(every, None)[0])


# --- classes and limits ----------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_a_split_folder_is_opened_whole(opened: Any, side: int) -> None:
    data = opened(side)
    assert data.classes == ("a", "b", "c", "d")
    assert _sizes(data.train.labels) == [10, 8, 6, 4]
    assert _sizes(data.test.labels) == [3, 3, 3, 3]
    assert (data.skipped, data.warning()) == (0, "")
    expected = "images: 4 classes, 28 training and 12 test images"
    assert data.describe() == f"{expected} at {side} px"


def test_large_images_are_normalised_by_imagenets_constants_and_small_by_their_own(
    opened: Any,
) -> None:
    assert opened(72).normalisation == IMAGENET
    data = opened(16)
    images, _ = data.train.batch(torch.arange(len(data.train)), None)
    assert images.mean((0, 2, 3)).abs().max() < 1e-4
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_the_recorded_normalisation_is_what_was_applied(opened: Any) -> None:
    for side in SIDES:
        data = opened(side)
        mean, std = data.normalisation
        images, _ = data.test.batch(torch.arange(4), None)
        pixels = (images * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)) * 255
        assert (pixels - pixels.round()).abs().max() < 1e-2
        assert torch.allclose(data.normalisation.apply(pixels.round().byte()), images, atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_a_limit_is_stratified_and_keeps_the_test_set_whole(opened: Any, side: int) -> None:
    data = opened(side, limit=14)
    assert _sizes(data.train.labels) == [5, 4, 3, 2]
    assert _sizes(data.test.labels) == [3, 3, 3, 3]
    assert _sizes(opened(side, limit=14, test_limit=4).test.labels) == [1, 1, 1, 1]
    assert len(opened(side, limit=1000).train) == 28


def test_a_subset_of_classes_is_drawn_by_the_seed_and_renumbered(opened: Any) -> None:
    drawn = {opened(classes=2, seed=seed).classes for seed in range(8)}
    assert len(drawn) > 2
    assert all(names == tuple(sorted(names)) and len(names) == 2 for names in drawn)
    data = opened(classes=2, seed=0)
    assert data.classes == opened(classes=2, seed=0).classes
    assert _sizes(data.train.labels) == [SPLIT["train"][name] for name in data.classes]
    images, labels = data.train.batch(torch.arange(len(data.train)), None)
    mean, std = data.normalisation
    red = (images[:, 0, 8, 8] * std[0] + mean[0]) * 255
    expected = torch.tensor(["abcd".index(name) * 40.0 for name in data.classes])
    assert torch.allclose(red, expected[labels], atol=1.5)


def test_an_undivided_folder_gives_a_fifth_of_each_class_to_the_test_set(
    make_folder: Any, tmp_path: Path
) -> None:
    folder = make_folder({"a": 20, "b": 10, "c": 2})
    data = open_data(folder, resolution=8, cache=tmp_path / "cache")
    assert _sizes(data.train.labels) == [16, 8, 1]
    assert _sizes(data.test.labels) == [4, 2, 1]
    images = [part.batch(torch.arange(len(part)), None)[0] for part in (data.train, data.test)]
    assert len(torch.cat(images).flatten(1).unique(dim=0)) == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 5}, "5 classes were asked for; there are 4"),
        ({"classes": 1}, "nothing to tell apart"),
        ({"limit": 3}, "limit of 3 images leaves some of 4 classes"),
        ({"limit": 0}, "limit of 0"),
        ({"test_limit": 2}, "limit of 2"),
        ({"side": 0}, "Images of 0 px"),
    ],
)
def test_numbers_that_cannot_be_met_are_refused(opened: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        opened(**options)
    assert caught.value.remedy


def test_a_class_of_one_image_cannot_be_divided(make_folder: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'b' has one image"):
        open_data(make_folder({"a": 5, "b": 1}), resolution=8, cache=tmp_path / "cache")


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no data at '.*nowhere'") as caught:
        open_data(str(tmp_path / "nowhere"), resolution=8)
    assert "digits" in caught.value.remedy


# --- broken images -----------------------------------------------------------------


def _spoil(folder: Path) -> list[str]:
    names = ["train/a/000.png", "train/b/bad.jpg", "train/c/zero.JPG", "val/d/000.png"]
    (folder / names[0]).write_bytes((folder / names[0]).read_bytes()[:60])
    (folder / names[1]).write_text("no image")
    (folder / names[2]).write_bytes(b"")
    (folder / names[3]).unlink()
    (folder / names[3]).symlink_to("nowhere.png")
    return names


@pytest.mark.parametrize("side", SIDES)
def test_broken_images_are_left_out_counted_and_named(opened: Any, side: int) -> None:
    whole = opened(side)
    before = whole.train.batch(torch.arange(28), None)[0]
    names = _spoil(opened.folder)
    for data in (opened(side), opened(side)):  # found out, then remembered
        assert data.skipped == len(data.broken) == 4
        assert data.broken.names == tuple(names)
        assert data.warning().startswith("4 images could not be read")
        assert all(repr(name) in data.warning() for name in names[:3])
        assert "4 broken left out" in data.describe()
        assert _sizes(data.train.labels) == [9, 8, 6, 4]
        after = data.train.batch(torch.arange(27), None)[0]
        if side == 72:
            assert torch.equal(after, before[1:])
        assert data.identity != whole.identity


@pytest.mark.parametrize("side", SIDES)
def test_a_class_without_any_readable_image_is_refused(opened: Any, side: int) -> None:
    for path in (opened.folder / "train" / "c").iterdir():
        path.write_text("no image")
    with pytest.raises(UsageError, match=r"No image of class 'c' can be read.*train/c/000.png"):
        opened(side)
    with pytest.raises(UsageError, match="Raise the limit"):
        opened(side, limit=10)


@pytest.mark.parametrize("side", SIDES)
def test_no_readable_image_at_all_is_refused(opened: Any, side: int) -> None:
    for path in opened.folder.rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(UsageError, match="No image of class 'a'"):
        opened(side)


def _cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-100])  # headers and tables of a small JPEG fill half of it


def test_another_image_of_the_class_stands_in_where_decoding_fails(
    make_folder: Any, tmp_path: Path
) -> None:
    folder = make_folder(SPLIT, size=(100, 80), suffix=".jpg")
    for name in ("train/a/003.jpg", "train/a/009.jpg", "train/a/000.jpg"):
        _cut_short(folder / name)
    data = open_data(folder, resolution=72, cache=tmp_path / "cache")
    assert (data.skipped, len(data.broken)) == (0, 0)
    images, labels = data.train.batch(torch.tensor([3, 9, 0, 10]), None)
    assert labels.tolist() == [0, 0, 0, 1]
    assert torch.equal(images[:3], data.train.batch(torch.tensor([4, 1, 1]), None)[0])
    assert set(data.broken.names) == {"train/a/003.jpg", "train/a/009.jpg", "train/a/000.jpg"}
    assert data.warning().startswith("3 images could not be read")
    data.train.batch(torch.tensor([3, 9, 0]), torch.Generator().manual_seed(0))
    assert len(data.broken) == 3


def test_files_that_vanish_while_training_end_it_with_a_sentence(opened: Any) -> None:
    data = opened(72)
    shutil.rmtree(opened.folder / "train" / "b")
    data.train.batch(torch.tensor([0]), None)
    with pytest.raises(UsageError, match="can be decoded any more"):
        data.train.batch(torch.tensor([10]), None)


# --- caches ------------------------------------------------------------------------


def test_a_second_start_decodes_nothing(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [opened(side) for side in SIDES]

    def never(*_: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(search.data.pixel_cache, "read_image", never)
    monkeypatch.setattr(search.data.on_demand, "check_header", never)
    again = [opened(side) for side in SIDES]
    assert [data.identity for data in first] == [data.identity for data in again]
    every = torch.arange(28)
    assert torch.equal(first[0].train.batch(every, None)[0], again[0].train.batch(every, None)[0])


def test_a_changed_image_is_decoded_anew(opened: Any) -> None:
    before = opened().train.batch(torch.tensor([0]), None)[0]
    source = opened.folder / "train" / "a"
    shutil.copyfile(source / "009.png", source / "000.png")
    data = opened()
    after, last = data.train.batch(torch.tensor([0, 9]), None)[0]
    assert not torch.equal(before[0], after)
    assert torch.equal(after, last)


@pytest.mark.parametrize("damage", ["cut", "json", "pickle", "shape", "gone"])
def test_a_damaged_cache_is_made_again(opened: Any, tmp_path: Path, damage: str) -> None:
    expected = opened().train.batch(torch.arange(28), None)[0].clone()
    for folder in (tmp_path / "cache" / "data" / "decoded").iterdir():
        if not folder.is_dir():
            continue
        images = folder / "images.npy"
        if damage == "cut":
            images.write_bytes(images.read_bytes()[:-100])
        elif damage == "json":
            (folder / "facts.json").write_text("{")
        elif damage == "pickle":
            np.save(images, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        elif damage == "shape":
            np.save(images, np.zeros((3, 3), dtype=np.uint8))
        else:
            images.unlink()
    assert torch.equal(opened().train.batch(torch.arange(28), None)[0], expected)


def test_the_cache_lies_where_kit_cache_says(own_cache: Path, make_folder: Any) -> None:
    open_data(make_folder({"a": 2, "b": 2}), resolution=8)
    assert list((own_cache / "data" / "decoded").iterdir())


def test_too_many_small_images_for_memory_are_decoded_on_demand(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.data.open.MEMORY_BYTES", 1000)
    data = opened(16)
    assert data.normalisation == IMAGENET
    assert data.train.batch(torch.arange(4), None)[0].shape == (4, 3, 16, 16)


# --- identity ------------------------------------------------------------------------


def test_the_identity_tells_problems_apart_and_not_places(
    opened: Any, make_folder: Any, tmp_path: Path
) -> None:
    moved = make_folder(SPLIT, size=(100, 80), root=tmp_path / "moved")
    same = open_data(moved, resolution=16, cache=tmp_path / "other cache")
    assert same.identity == opened().identity
    others = [opened(24), opened(limit=20), opened(classes=3), opened(test_limit=8), opened()]
    assert len({data.identity for data in others}) == 5


# --- CIFAR-10 ------------------------------------------------------------------------


@pytest.fixture
def some_of_cifar(shared: Path, tmp_path: Path) -> Path:
    """40 images of each of the archive's first two classes (all 60,000 take half a minute)."""
    whole = shared / "data" / "cifar10-images.tar.xz"
    if not whole.is_file():
        pytest.skip("the CIFAR-10 archive is not there")
    part, counts = tmp_path / "some.tar.xz", Counter[str]()
    with tarfile.open(whole) as source, tarfile.open(part, "w:xz", preset=0) as target:
        for member in source:
            name = str(Path(member.name).parent.name)
            if member.isreg() and counts[name] < 40:
                counts[name] += 1
                target.addfile(member, source.extractfile(member))
            if len(counts) == 2 and min(counts.values()) == 40:
                break
    return part


def test_the_cifar_archive_opens_by_its_classes(some_of_cifar: Path, tmp_path: Path) -> None:
    data = open_data(some_of_cifar, resolution=32, limit=30, cache=tmp_path / "cache")
    assert data.name == "some"
    assert data.classes == ("airplane", "automobile")
    assert _sizes(data.train.labels) == [15, 15]
    assert _sizes(data.test.labels) == [8, 8]
    assert data.skipped == 0
    assert all(0.3 < value < 0.7 for value in data.normalisation.mean)
