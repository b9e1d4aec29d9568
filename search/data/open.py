"""Opening of a data source by its name: its images, ready for training."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from search.data.archive import archive_name, unpacked
from search.data.augment import Shift
from search.data.base import IMAGENET, Broken, Data, ImageSet, PixelScaling
from search.data.build_once import data_cache
from search.data.decode import central, central_share
from search.data.digits import NAMES as DIGIT_NAMES
from search.data.digits import open_digits
from search.data.folder import ImageFolder, Listing, read_folder
from search.data.in_memory import InMemoryImages
from search.data.on_demand import OnDemandImages, broken_headers
from search.data.pixel_cache import Decoded, decoded
from search.data.subset import SubsetOptions, choose_subset
from search.errors import UsageError

DIGITS = "digits"
SMALL_PX = 64
MEMORY_BYTES = 4 * 2**30


def open_data(
    source: str | os.PathLike[str],
    *,
    resolution: int,
    classes: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
    seed: int = 0,
    train_folder: str | None = None,
    val_folder: str | None = None,
    cache: Path | None = None,
    normalisation: PixelScaling | None = None,
    resize: int | None = None,
) -> Data:
    """Open a set of labelled images for training and evaluation.

    Up to 64 px (and 4 GiB) all images are decoded once and held in memory;
    larger ones are decoded when they are needed. Broken images are left out
    and counted.

    Args:
        source: `digits`, a folder of class sub-folders (with or without
            train/ and val/), or a tar or zip archive of such a folder.
        resolution: Pixels a side.
        classes: Use only that many classes, drawn by the seed (FBNet searched
            on 100 of ImageNet's, arXiv 1812.03443, section 4.1).
        limit: At most that many training images, in the classes' shares.
        test_limit: The same for test images.
        seed: Decides the classes, images and, where there is none, the split.
        train_folder: Where in the source the training images are, if its folders'
            names do not say so.
        val_folder: The same for the test images.
        cache: In place of $KIT_CACHE and the user's cache folder.
        normalisation: How trained weights want their pixels scaled; None
            takes ImageNet's or, of small images, the training set's own.
        resize: Pixels of the shorter side, out of which evaluation cuts the central
            square. None takes the whole image up to 64 px, and R * 256 / 224 beyond.

    Raises:
        UsageError: No such source, or one that cannot be trained on.
        StorageError: The cache cannot be written.
    """
    options = SubsetOptions(
        resolution=resolution,
        classes=classes,
        limit=limit,
        test_limit=test_limit,
        seed=seed,
        normalisation=normalisation,
        resize=resize,
    )
    if source == DIGITS:
        if resize is not None:
            raise UsageError("The digits have no margin to cut off.", "Leave out --resize.")
        if train_folder is not None or val_folder is not None:
            raise UsageError("The digits lie in no folders.", "Leave out --train-folder.")
        return open_digits(options)
    path, kept = Path(source).expanduser(), data_cache(cache)
    images, name = _listed(path, kept, train_folder, val_folder)
    return _open_folder(images, name, options, kept)


def class_names(
    source: str | os.PathLike[str],
    *,
    train_folder: str | None = None,
    val_folder: str | None = None,
    cache: Path | None = None,
) -> tuple[str, ...]:
    """Names of all classes of a source; no image is opened.

    Args:
        source, train_folder, val_folder, cache: As of `open_data`.

    Raises:
        UsageError: No such source, or one that cannot be trained on.
    """
    if source == DIGITS:
        return DIGIT_NAMES
    path = Path(source).expanduser()
    return tuple(_listed(path, data_cache(cache), train_folder, val_folder)[0].classes)


def _listed(
    path: Path, cache: Path, train_folder: str | None, val_folder: str | None
) -> tuple[ImageFolder, str]:
    """The images of a folder or an archive, and its name."""
    if path.is_dir():
        images = read_folder(path, train_folder=train_folder, val_folder=val_folder)
        return images, path.resolve().name
    if path.is_file():
        folder = unpacked(path, cache)
        with _named(folder, path):
            images = read_folder(folder, train_folder=train_folder, val_folder=val_folder)
        return images, archive_name(path)
    raise UsageError(
        f"There is no data at {str(path)!r}.",
        f"Give {DIGITS!r}, a folder of class folders, or an archive of one.",
    )


@contextlib.contextmanager
def _named(folder: Path, archive: Path) -> Iterator[None]:
    """Speak of an archive by the user's own path, not by the folder that it was unpacked to."""
    try:
        yield
    except UsageError as error:
        names = (str(folder.resolve()), str(folder))
        message, remedy = error.message, error.remedy
        for name in names:
            message, remedy = (
                message.replace(name, str(archive)),
                remedy.replace(name, str(archive)),
            )
        raise UsageError(message, remedy) from error


def _open_folder(images: ImageFolder, name: str, options: SubsetOptions, cache: Path) -> Data:
    classes, train, test = choose_subset(images.classes, images.train, images.test, options)
    chosen = _Chosen(
        name=name, classes=classes, train=train, test=test, options=options, notes=images.notes
    )
    needed = (len(train) + len(test)) * 3 * options.resolution**2
    small = options.resolution <= SMALL_PX and needed <= MEMORY_BYTES and not options.resize
    return _in_memory(chosen, cache) if small else _on_demand(chosen, cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The files that are to be opened, before any has been."""

    name: str
    classes: tuple[str, ...]
    train: Listing
    test: Listing
    options: SubsetOptions
    notes: tuple[str, ...]

    def readable(
        self, train: Sequence[int], test: Sequence[int]
    ) -> tuple[Listing, Listing, Broken]:
        """Training and test files without the images of these numbers, and their names."""
        options, broken = self.options, Broken()
        first = self._without(self.train, train, broken, limited=options.limit is not None)
        second = self._without(self.test, test, broken, limited=options.test_limit is not None)
        return first, second, broken

    def _without(
        self, listing: Listing, numbers: Sequence[int], broken: Broken, limited: bool
    ) -> Listing:
        for number in numbers:
            broken.add(listing.names[number])
        good = torch.ones(len(listing), dtype=torch.bool)
        good[list(numbers)] = False
        sizes = torch.bincount(listing.labels[good], minlength=len(self.classes))
        if int(sizes.min()) == 0:
            label = int(sizes.argmin())
            name = listing.names[int((listing.labels == label).nonzero()[0])]
            raise UsageError(
                f"No image of class {self.classes[label]!r} can be read; one is {name!r}.",
                "Raise the limit, or replace the broken images."
                if limited
                else "Replace its images, or remove the class folder.",
            )
        return listing.subset(good.nonzero()[:, 0], listing.labels[good])

    def data(
        self, train: ImageSet, test: ImageSet, normalisation: PixelScaling, broken: Broken
    ) -> Data:
        """The opened sets with what is known about them."""
        return Data(
            name=self.name,
            classes=self.classes,
            resolution=self.options.resolution,
            train=train,
            test=test,
            normalisation=normalisation,
            skipped=len(broken),
            notes=self.notes,
            broken=broken,
        )


def _in_memory(chosen: _Chosen, cache: Path) -> Data:
    side = chosen.options.resolution
    pixels, test_pixels = (decoded(part, side, cache) for part in (chosen.train, chosen.test))
    train, test, broken = chosen.readable(pixels.broken, test_pixels.broken)
    normalisation = chosen.options.normalisation or pixels.normalisation
    red, green, blue = (round(255 * mean) for mean in normalisation.mean)
    shift = Shift(pad=max(side // 8, 1), fill=(red, green, blue), flip=True)

    def images(part: Decoded, labels: Tensor) -> InMemoryImages:
        return InMemoryImages(torch.from_numpy(part.images), labels, normalisation, shift)

    sets = images(pixels, train.labels), images(test_pixels, test.labels)
    return chosen.data(*sets, normalisation, broken)


def _on_demand(chosen: _Chosen, cache: Path) -> Data:
    numbers = (broken_headers(part, cache) for part in (chosen.train, chosen.test))
    train, test, broken = chosen.readable(*numbers)
    normalisation = chosen.options.normalisation or IMAGENET
    side, resize = chosen.options.resolution, chosen.options.resize
    area = central if resize is None else central_share(side / resize)
    first, second = (
        OnDemandImages(part, side, normalisation, broken, area) for part in (train, test)
    )
    return chosen.data(first, second, normalisation, broken)
