"""Archives are unpacked once, whole, and inside their folder only."""

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from search.data.archive import archive_name, unpacked
from search.data.open import open_data
from search.errors import StorageError, UsageError


def _packed(root: Path, archive: Path) -> Path:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for path in sorted(root.rglob("*")):
                opened.write(path, path.relative_to(root.parent))
        return archive
    mode: Any = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz", ".tgz": "w:gz"}[archive.suffix]
    with tarfile.open(archive, mode) as opened:
        opened.add(root, root.name)
    return archive


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip", ".ZIP"])
def test_an_archive_holds_what_its_folder_holds(
    make_folder: Any, tmp_path: Path, ending: str
) -> None:
    root = make_folder({"train": {"a b": 3, "é": 2}, "val": {"a b": 1, "é": 1}})
    archive = _packed(root, tmp_path / f"my.set{ending}")
    data = open_data(archive, resolution=8, cache=tmp_path / "cache")
    plain = open_data(root, resolution=8, cache=tmp_path / "cache")
    assert data.name == "my.set"
    assert data.identity == plain.identity
    everything = torch.arange(5)
    assert data.train.batch(everything, None)[0].equal(plain.train.batch(everything, None)[0])


def test_equal_archives_are_unpacked_once_whatever_they_are_called(
    make_folder: Any, tmp_path: Path
) -> None:
    archive = _packed(make_folder({"a": 1, "b": 1}), tmp_path / "one.tar")
    folder = unpacked(archive, tmp_path / "cache")
    inside = folder / "images" / "a" / "000.png"
    before = inside.stat().st_ino
    renamed = archive.rename(tmp_path / "two.tar")
    assert unpacked(renamed, tmp_path / "cache") == folder
    assert inside.stat().st_ino == before


def test_an_archive_that_changed_is_unpacked_anew(make_folder: Any, tmp_path: Path) -> None:
    archive = _packed(make_folder({"a": 1, "b": 1}), tmp_path / "set.tar")
    before = unpacked(archive, tmp_path / "cache")
    _packed(make_folder({"a": 2, "b": 1}, root=tmp_path / "more"), archive)
    after = unpacked(archive, tmp_path / "cache")
    assert after != before
    assert (after / "more" / "a" / "001.png").is_file()


def _tar_with(member: tarfile.TarInfo, archive: Path) -> Path:
    with tarfile.open(archive, "w") as opened:
        opened.addfile(member, io.BytesIO(b"evil") if member.isreg() else None)
    return archive


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = 4 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("../escaped"),
        _member("a/../../escaped"),
        _member("a", tarfile.SYMTYPE, "/etc"),
        _member("a", tarfile.SYMTYPE, "b"),
        _member("a", tarfile.LNKTYPE, "b"),
        _member("a", tarfile.CHRTYPE),
    ],
)
def test_a_tar_that_could_write_elsewhere_is_refused_and_leaves_nothing(
    tmp_path: Path, member: tarfile.TarInfo
) -> None:
    archive = _tar_with(member, tmp_path / "bad.tar")
    with pytest.raises(UsageError, match="is not unpacked"):
        unpacked(archive, tmp_path / "cache")
    assert not list(tmp_path.rglob("*escaped*"))
    assert not [path for path in (tmp_path / "cache" / "archives").iterdir() if path.is_dir()]


def test_an_absolute_name_in_a_tar_stays_inside(tmp_path: Path) -> None:
    archive = _tar_with(_member(f"{tmp_path}/escaped"), tmp_path / "odd.tar")
    folder = unpacked(archive, tmp_path / "cache")
    assert not (tmp_path / "escaped").exists()
    assert [path.is_relative_to(folder) for path in tmp_path.rglob("escaped")] == [True]


@pytest.mark.parametrize(
    "name", ["../escaped", "/escaped", "a/../../escaped", r"..\escaped", "C:/x"]
)
def test_a_zip_that_names_a_place_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, b"evil")
    with pytest.raises(UsageError, match="lies outside"):
        unpacked(archive, tmp_path / "cache")
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("a/link.jpg")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as opened:
        opened.writestr(member, "/etc/passwd")
    with pytest.raises(UsageError, match="is a link"):
        unpacked(tmp_path / "bad.zip", tmp_path / "cache")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".zip"])
def test_an_archive_cut_short_is_refused_and_leaves_nothing(
    make_folder: Any, tmp_path: Path, ending: str
) -> None:
    archive = _packed(make_folder({"a": 40, "b": 40}, size=(40, 40)), tmp_path / f"set{ending}")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2 + 100])
    with pytest.raises(UsageError, match=r"damaged|neither a whole") as caught:
        unpacked(archive, tmp_path / "cache")
    assert caught.value.remedy
    kept = tmp_path / "cache" / "archives"
    assert not [path for path in kept.glob("*") if path.is_dir()]


def test_names_with_the_separator_of_windows_are_folders(make_folder: Any, tmp_path: Path) -> None:
    root = make_folder({"train": {"a": 2, "b": 2}, "val": {"a": 1, "b": 1}})
    archive = tmp_path / "windows.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(root.rglob("*.png")):
            member = zipfile.ZipInfo("x")
            member.filename = str(path.relative_to(root.parent)).replace("/", "\\")
            opened.writestr(member, path.read_bytes())
    data = open_data(archive, resolution=8, cache=tmp_path / "cache")
    assert (data.classes, len(data.train), len(data.test)) == (("a", "b"), 4, 2)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".zip"])
def test_archives_in_an_archive_are_folders(make_folder: Any, tmp_path: Path, ending: str) -> None:
    root = make_folder({"train/a": 2, "train/b": 3, "val/a": 1, "val/b": 1})
    for folder in [*root.glob("*/*")]:
        _packed(folder, folder.with_suffix(ending))
        shutil.rmtree(folder)
    archive = _packed(root, tmp_path / "all.tar")
    data = open_data(archive, resolution=8, cache=tmp_path / "cache")
    assert (data.classes, len(data.train), len(data.test)) == (("a", "b"), 5, 2)


def test_what_is_packed_but_no_archive_is_passed_over(make_folder: Any, tmp_path: Path) -> None:
    root = make_folder({"a": 2, "b": 2})
    (root / "labels.gz").write_bytes(gzip.compress(b"1,2,3"))
    (root / "a" / "cut.tar").write_bytes(b"no archive")
    data = open_data(_packed(root, tmp_path / "set.tar"), resolution=8, cache=tmp_path / "cache")
    assert any(".tar" in note and "a/cut.tar" in note for note in data.notes)


def test_archives_without_end_are_not_unpacked(make_folder: Any, tmp_path: Path) -> None:
    archive = _packed(make_folder({"a": 1, "b": 1}), tmp_path / "0.tar")
    for number in range(1, 5):
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        archive.rename(folder / archive.name)
        archive = _packed(folder, tmp_path / f"{number}.tar")
    with pytest.raises(UsageError, match="archive in archives") as caught:
        unpacked(archive, tmp_path / "cache")
    assert str(archive) in str(caught.value)


def test_complaints_name_the_archive_of_the_user_and_no_folder_of_the_cache(
    make_folder: Any, tmp_path: Path
) -> None:
    archive = _packed(make_folder({"only": 2}), tmp_path / "mine.zip")
    with pytest.raises(UsageError, match="one class only") as caught:
        open_data(archive, resolution=8, cache=tmp_path / "cache")
    assert str(archive) in str(caught.value)
    assert "cache" not in str(caught.value)
    archive = _packed(make_folder({"x": 2, "y": 0}, root=tmp_path / "other"), tmp_path / "more.tar")
    with pytest.raises(UsageError, match="No images") as caught:
        open_data(archive, resolution=8, cache=tmp_path / "cache")
    assert str(archive) in str(caught.value)
    assert "cache" not in str(caught.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.tar").write_text("not an archive")
    with pytest.raises(UsageError, match="neither a whole tar nor a whole zip"):
        open_data(tmp_path / "set.tar", resolution=8, cache=tmp_path / "cache")


def test_what_a_killed_process_left_is_not_mistaken_for_a_result(
    make_folder: Any, tmp_path: Path
) -> None:
    archive = _packed(make_folder({"a": 1, "b": 1}), tmp_path / "set.tar")
    folder = unpacked(archive, tmp_path / "cache")
    part = folder.rename(folder.with_name(f"{folder.name}.part"))
    (part / "images" / "b" / "000.png").unlink()
    (part / "left over").touch()
    unpacked(archive, tmp_path / "cache")
    assert (folder / "images" / "b" / "000.png").is_file()
    assert not (folder / "left over").exists()
    assert not part.exists()


def test_a_cache_that_cannot_be_written_says_so(make_folder: Any, tmp_path: Path) -> None:
    archive = _packed(make_folder({"a": 1, "b": 1}), tmp_path / "set.tar")
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="Cannot write") as caught:
        unpacked(archive, tmp_path / "cache")
    assert "KIT_CACHE" in caught.value.remedy


@pytest.mark.parametrize(
    ("file", "name"), [("a.tar.xz", "a"), ("a.b.TGZ", "a.b"), ("v1.5.zip", "v1.5"), ("x", "x")]
)
def test_an_archive_is_named_without_its_endings(file: str, name: str) -> None:
    assert archive_name(Path(file)) == name
