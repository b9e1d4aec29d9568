"""The files of a folder of images: those that are read, and account of all others."""

import os
import stat
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from search.errors import UsageError

_COMMON = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".webp")
SUFFIXES = frozenset((*_COMMON, ".bmp", ".tif", ".tiff", ".ppm", ".pgm"))
HEIF = frozenset((".heic", ".heif", ".hif"))
AVIF = frozenset((".avif", ".avifs"))
PACKED = (".gz", ".xz", ".bz2", ".tar", ".tgz", ".txz", ".tbz2", ".zip")
# Notes that file managers leave behind, and no one means to be images.
_MANAGERS = frozenset(("thumbs.db", "desktop.ini"))

Stamp = tuple[int, int, int]
GONE: Stamp = (-1, -1, -1)


@cache
def readable_suffixes() -> frozenset[str]:
    """Endings of the formats that this installation of Pillow reads.

    HEIC needs the package pillow-heif, AVIF a Pillow that was built with it.
    """
    from PIL import features

    known = SUFFIXES
    if features.check("avif"):
        known |= AVIF
    if find_spec("pillow_heif") is not None:
        known |= HEIF
    return known


class PassedOver:
    """Files that are not taken for images, by kind: their number and the first three names."""

    SHOWN = 3

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, tuple[str, ...]]] = {}

    def add(self, name: str, kind: str | None = None) -> None:
        """Note one file; its kind is its ending unless another is given."""
        kind = kind or _kind(name)
        number, shown = self._kinds.get(kind, (0, ()))
        self._kinds[kind] = (number + 1, shown if number >= self.SHOWN else (*shown, name))

    def sentences(self) -> tuple[str, ...]:
        """One sentence a kind, the most frequent first: number, kind, examples."""
        ordered = sorted(self._kinds.items(), key=lambda item: -item[1][0])
        return tuple(_sentence(kind, number, shown) for kind, (number, shown) in ordered)


def _kind(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million times)
    if ending in HEIF:
        return f"{ending} (pip install pillow-heif to read them)"
    if ending in AVIF:
        return f"{ending} (this Pillow was built without AVIF)"
    return ending or "no ending"


def _sentence(kind: str, number: int, shown: tuple[str, ...]) -> str:
    examples = ", ".join(repr(name) for name in shown) + (", ..." if number > len(shown) else "")
    files = "file" if number == 1 else "files"
    return f"{number:,} {files} passed over, {kind}: {examples}."


def folders_in(path: Path) -> dict[str, Path]:
    """Visible folders (or links to some) in one folder, by name.

    Raises:
        UsageError: It cannot be listed.
    """
    entries = _entries(path)
    names = [entry.name for entry in entries if entry.is_dir()]
    return {name: path / name for name in names if name[0] != "." and name != "__MACOSX"}


def loose_images(path: Path) -> Iterator[str]:
    """Names of the image files that lie in a folder itself, not in a folder inside."""
    for entry in _entries(path):
        if not entry.name.startswith(".") and _is_image(entry.name) and entry.is_file():
            yield entry.name


def files_in(path: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Names of the visible files of these endings in one folder."""
    return [
        entry.name
        for entry in _entries(path)
        if entry.name[0] != "." and entry.name.lower().endswith(suffixes) and entry.is_file()
    ]


def images_below(folder: Path, prefix: str, passed: PassedOver) -> Iterator[tuple[str, Stamp]]:
    """Names and stamps of image files, sorted; folders inside are entered, links are not.

    Raises:
        UsageError: A folder cannot be listed.
    """
    for entry in _entries(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from images_below(Path(entry.path), f"{prefix}{entry.name}/", passed)
        elif not _is_image(entry.name):
            if entry.name.lower() not in _MANAGERS:
                passed.add(prefix + entry.name)
        elif (stamp := _stamp(entry)) is not None:
            yield prefix + entry.name, stamp


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in readable_suffixes()  # noqa: PTH122


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as opened:
            return sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"Cannot list {folder}: {error.strerror}.", "Give a folder that you may read."
        ) from error


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """Stamp of a file; `GONE` for a dead link, which is reported later, None for a device."""
    try:
        facts = entry.stat()
    except OSError:
        return GONE
    if not stat.S_ISREG(facts.st_mode):
        return None
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
