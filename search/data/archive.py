"""Archives of images, unpacked once into the cache."""

import contextlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from search.data.build_once import built_once, writing
from search.data.layout.image_files import PACKED
from search.errors import UsageError
from search.files import sha256_bytes, sha256_file, write_text

# Archives of archives are unpacked (ImageNet's classes are such), but not without end.
DEEPEST = 2
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a way of compressing that Python does not know
    RuntimeError,  # how zipfile says that a password is needed
)


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder with the content of a tar (plain, gz, bz2, xz) or zip archive.

    Archives inside it become folders of their names. Unpacked once for each content,
    whatever the archive is called. Nothing is written outside that folder, and links are
    refused.

    Raises:
        UsageError: Not an archive, damaged, or with members that are not safe.
        StorageError: The cache cannot be written.
    """
    if _extractor(archive) is None:
        raise UsageError(
            f"{archive} is neither a whole tar nor a whole zip archive.",
            "Give a folder, or a .tar, .tar.gz, .tar.xz or .zip archive of one.",
        )

    def build(part: Path) -> None:
        _unpack(archive, part, str(archive), DEEPEST)
        if hasattr(os, "sync"):
            os.sync()  # the folder must not outlive a power cut that its files did not

    return built_once(cache / "archives" / _content_hash(archive, cache), build)


Extractor = Callable[[Path, Path, str], None]


def _extractor(archive: Path) -> Extractor | None:
    if tarfile.is_tarfile(archive):
        return _extract_tar
    return _extract_zip if zipfile.is_zipfile(archive) else None


def _unpack(archive: Path, folder: Path, shown: str, deeper: int) -> None:
    """Unpack an archive and those in it; `shown` is what the user knows it by."""
    extract = _extractor(archive)
    assert extract is not None, "the callers look"
    with _whole(shown):
        extract(archive, folder, shown)
    packed = [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(PACKED)]
    for inner in (path for path in packed if path.is_file() and _extractor(path)):
        name = f"{shown}/{inner.relative_to(folder).as_posix()}"
        if deeper == 0:
            raise UsageError(f"{name} is an archive in archives.", "Unpack it yourself.")
        target = inner.with_name(archive_name(inner))
        if target.exists():
            raise UsageError(
                f"{name} would be unpacked where {target.name}/ is already.", "Unpack it yourself."
            )
        target.mkdir()
        _unpack(inner, target, name, deeper - 1)
        inner.unlink()


def archive_name(archive: Path) -> str:
    """The file's name without the endings that say how it is packed."""
    name = archive
    while name.suffix.lower() in PACKED:
        name = name.with_suffix("")
    return name.name


def _content_hash(archive: Path, cache: Path) -> str:
    """SHA-256 of the file; remembered, since hashing ImageNet takes minutes."""
    facts = archive.stat()
    stamp = f"{archive.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ctime_ns}"
    note = cache / "hashes" / f"{sha256_bytes(stamp.encode(errors='surrogateescape'))}.txt"
    known = note.read_bytes().decode("ascii", "replace").strip() if note.exists() else ""
    if not re.fullmatch("[0-9a-f]{64}", known):
        known = sha256_file(archive)
        with writing(note):
            write_text(note, known)
    return known


@contextlib.contextmanager
def _whole(archive: str) -> Iterator[None]:
    damaged = UsageError(
        f"{archive} is damaged or locked by a password.", "Fetch it again, or give its folder."
    )
    try:
        yield
    except tarfile.FilterError as error:
        raise _unsafe(archive, str(error)) from error
    except DAMAGED as error:
        raise damaged from error
    except OSError as error:
        if error.errno is None:  # how gzip and bz2 complain
            raise damaged from error
        raise


def _unsafe(archive: str, why: str) -> UsageError:
    return UsageError(
        f"{archive} is not unpacked: {why}.", "Unpack it yourself if you trust it; give the folder."
    )


def _extract_tar(archive: Path, folder: Path, shown: str) -> None:
    def safe(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
        if member.issym() or member.islnk():
            raise _unsafe(shown, f"{member.name!r} is a link")
        return tarfile.data_filter(member, destination)

    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter=safe)  # noqa: S202 (filtered)


def _extract_zip(archive: Path, folder: Path, shown: str) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _unsafe(shown, f"{member.filename!r} is a link")
            if _leaves(member.filename):
                raise _unsafe(shown, f"{member.filename!r} lies outside its folder")
            # Some programs of Windows write its own separator, against the format.
            member.filename = member.filename.replace("\\", "/")
            opened.extract(member, folder)


def _leaves(name: str) -> bool:
    """Whether a member's name means a place outside on any system."""
    return any(
        path.is_absolute() or bool(path.anchor) or ".." in path.parts
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )
