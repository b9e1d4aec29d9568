"""Folders of class sub-folders, listed without opening an image."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search.data.layout.image_files import (
    PassedOver,
    Stamp,
    images_below,
    loose_images,
    readable_suffixes,
)
from search.data.layout.parts import LAYOUT, Part, find_parts, packed_remedy
from search.errors import UsageError


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
    """Classes and images of a folder; `test` is None where it is not split.

    `notes` are sentences: which split is used, and what is passed over.
    """

    classes: tuple[str, ...]
    train: Listing
    test: Listing | None
    notes: tuple[str, ...] = ()


def read_folder(
    folder: Path, *, train_folder: str | None = None, val_folder: str | None = None
) -> ImageFolder:
    """List a folder of class sub-folders, with or without a split.

    Classes are numbered by sorted name. Splits are recognised by their names
    (`search.data.layout`), and `val` goes before `test`, since ImageNet's test images
    have no labels. Hidden files are passed over, and so are those not named like images,
    which are counted; class folders may be links, and may hold folders. One folder round
    all others is entered.

    Args:
        folder: The folder.
        train_folder: Where in it the training images are, if its names do not say so.
        val_folder: The same for test images; without it a share of the others is taken.

    Raises:
        UsageError: No images, fewer than two classes, a class without images, classes that
            differ between training and test, or a layout that is not certain.
    """
    root = folder.resolve()
    parts = find_parts(root, train_folder, val_folder)
    passed = PassedOver()
    train, classes = _listing(parts.train, passed)
    if parts.test is None:
        held = (
            f"The split: images of {parts.train.name or 'class folders'}, {len(train):,} in all; "
        )
        notes = (f"{held}a share of each class is held out as test images.",)
        return ImageFolder(
            classes=classes,
            train=train,
            test=None,
            notes=(*notes, *parts.notes, *passed.sentences()),
        )
    test, seen = _listing(parts.test, passed)
    _require_same(parts.train, set(classes), parts.test, set(seen))
    split = (
        f"The split: {len(train):,} training images of {parts.train.name or 'class folders'}, "
        f"{len(test):,} test images of {parts.test.name}."
    )
    return ImageFolder(
        classes=classes,
        train=train,
        test=test,
        notes=(split, *parts.notes, *passed.sentences()),
    )


def _listing(part: Part, passed: PassedOver) -> tuple[Listing, tuple[str, ...]]:
    if len(part.classes) < 2:
        raise UsageError(_too_few(part), packed_remedy(part.root) or LAYOUT)
    root = part.root if not part.name or part.name.startswith("*") else part.root.parent
    names: list[str] = []
    labels: list[int] = []
    stamps: list[Stamp] = []
    empty = []
    for name in loose_images(part.root):
        passed.add(name, f"images in no class folder of {part.name or part.root.name}")
    for label, (name, path) in enumerate(part.classes.items()):
        images = list(images_below(path, f"{path.relative_to(root).as_posix()}/", passed))
        if not images:
            empty.append(name)
        names += (image for image, _ in images)
        stamps += (stamp for _, stamp in images)
        labels += [label] * len(images)
    if empty:
        known = ", ".join(sorted(readable_suffixes()))
        raise UsageError(
            f"No images in {_few(empty, len(part.classes))} of {part.root}.",
            " ".join(passed.sentences()) + f" Add some ({known}) or remove the folders.",
        )
    facts = np.array(stamps, dtype=np.int64).reshape(-1, 3)
    listing = Listing(root=root, names=tuple(names), labels=torch.tensor(labels), stamps=facts)
    return listing, tuple(part.classes)


def _too_few(part: Part) -> str:
    if part.classes:
        only = next(iter(part.classes))
        return f"{part.root} holds one class only, {only!r}: nothing to tell apart."
    return f"{part.root} holds no class folders."


def _require_same(train: Part, trained: set[str], test: Part, tested: set[str]) -> None:
    for here, there, more in ((train, test, trained - tested), (test, train, tested - trained)):
        if more:
            raise UsageError(
                f"{here.root} has {_few(sorted(more), len(trained | tested))} "
                f"that {there.name or there.root} has not.",
                "Both must hold the same class folders.",
            )


def _few(names: list[str], of: int) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} of {of} class folders ({shown})"
