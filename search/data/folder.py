"""Folders of class sub-folders, listed without opening an image."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search.errors import UsageError

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
TEST_NAMES = ("val", "validation", "test")
LAYOUT = (
    "Give a folder with one sub-folder of images a class, "
    "or with train/ and val/ (or test/) of that form."
)

Stamp = tuple[int, int, int]
GONE: Stamp = (-1, -1, -1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listing:
    """Image files below one folder, with their classes.

    `stamps` holds size, time of change and time of change of the entry, (N, 3)
    int64: with the names they tell whether a file is still the same.
    """

    root: Path
    names: tuple[str, ...]
    labels: Tensor
    stamps: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Tensor, labels: Tensor) -> "Listing":
        """These images in this order, with new labels."""
        chosen = indices.tolist()
        names = tuple(self.names[index] for index in chosen)
        return Listing(root=self.root, names=names, labels=labels, stamps=self.stamps[chosen])

    @property
    def fingerprint(self) -> str:
        """Hash by which prepared images are found again; it changes with any file."""
        text = "\0".join((str(self.root), *self.names))
        digest = hashlib.sha256(text.encode(errors="surrogateescape"))
        digest.update(np.ascontiguousarray(self.stamps).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFolder:
    """Classes and images of a folder; `test` is None where it is not split."""

    classes: tuple[str, ...]
    train: Listing
    test: Listing | None


def read_folder(folder: Path) -> ImageFolder:
    """List a folder of class sub-folders, with or without a split.

    Classes are numbered by sorted name. Beside `train`, `val` goes before
    `validation` before `test` (ImageNet's test images have no labels). Hidden
    files, and files not named like images, are passed over; class folders may
    be links, and may hold folders. One folder round all others is entered.

    Raises:
        UsageError: No images, fewer than two classes, a class without images,
            or classes that differ between training and test.
    """
    root = _innermost(folder.resolve())
    train, test = _split(root)
    listing, classes = _listing(root, train)
    if test is None:
        return ImageFolder(classes=classes, train=listing, test=None)
    other, seen = _listing(root, test)
    _require_same(train, set(classes), test, set(seen))
    return ImageFolder(classes=classes, train=listing, test=other)


def _folders(path: Path) -> dict[str, Path]:
    """Visible folders (or links to some) in one folder, by name."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise UsageError(f"Cannot list {path}: {error.strerror}.", LAYOUT) from error
    hidden = ("__MACOSX",)
    return {name: path / name for name in names if name[0] != "." and name not in hidden}


def _innermost(root: Path) -> Path:
    """Archives often hold one folder in which everything lies."""
    while True:
        folders = list(_folders(root).values())
        if len(folders) != 1 or folders[0].is_symlink() or not _folders(folders[0]):
            return root
        if folders[0].name.lower() in ("train", *TEST_NAMES):
            return root
        root = folders[0]


def _split(root: Path) -> tuple[Path, Path | None]:
    """The training and test folders; a class may be called `train` as well."""
    named = {name.lower(): path for name, path in _folders(root).items()}
    train = named.get("train")
    tests = [named[name] for name in TEST_NAMES if name in named]
    if train is not None and _folders(train):
        return train, tests[0] if tests else None
    if train is None and len(tests) == len(named) > 0 and _folders(tests[0]):
        raise UsageError(f"{root} holds {tests[0].name}/ but no train/.", LAYOUT)
    return root, None


def _listing(root: Path, folder: Path) -> tuple[Listing, tuple[str, ...]]:
    folders = _folders(folder)
    if len(folders) < 2:
        raise UsageError(_too_few(folder, folders), LAYOUT)
    names: list[str] = []
    labels: list[int] = []
    stamps: list[Stamp] = []
    empty = []
    for label, (name, path) in enumerate(folders.items()):
        images = list(_images(path, f"{path.relative_to(root).as_posix()}/"))
        if not images:
            empty.append(name)
        names += (image for image, _ in images)
        stamps += (stamp for _, stamp in images)
        labels += [label] * len(images)
    if empty:
        raise UsageError(
            f"No images in {_few(empty, len(folders))} of {folder}.",
            f"Add some ({', '.join(sorted(SUFFIXES))}) or remove the folders.",
        )
    facts = np.array(stamps, dtype=np.int64).reshape(-1, 3)
    listing = Listing(root=root, names=tuple(names), labels=torch.tensor(labels), stamps=facts)
    return listing, tuple(folders)


def _images(folder: Path, prefix: str) -> Iterator[tuple[str, Stamp]]:
    """Names and stamps of image files, sorted; folders inside are entered, links are not."""
    try:
        with os.scandir(folder) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"Cannot list {folder}: {error.strerror}.", LAYOUT) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _images(Path(entry.path), f"{prefix}{entry.name}/")
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 (a million times)
            stamp = _stamp(entry)
            if stamp is not None:
                yield prefix + entry.name, stamp


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """Stamp of a file; `GONE` for a dead link, which is reported later, None for a device."""
    try:
        facts = entry.stat()
    except OSError:
        return GONE
    if not stat.S_ISREG(facts.st_mode):
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _too_few(folder: Path, folders: dict[str, Path]) -> str:
    if folders:
        return f"{folder} holds one class only, {next(iter(folders))!r}: nothing to tell apart."
    return f"{folder} holds no class folders."


def _require_same(train: Path, trained: set[str], test: Path, tested: set[str]) -> None:
    for here, there, more in ((train, test, trained - tested), (test, train, tested - trained)):
        if more:
            raise UsageError(
                f"{here} has {_few(sorted(more), len(trained | tested))} "
                f"that {there.name}/ has not.",
                "Both must hold the same class folders.",
            )


def _few(names: list[str], of: int) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} of {of} class folders ({shown})"
