"""Core ML packages as one file: an archive of the folder in a fixed order.

A `.mlpackage` is a folder. The kit moves, hashes and caches files, so it keeps
packages as uncompressed zip archives whose bytes depend on their content
alone, and unpacks them where Apple's tools are to read them.
"""

import io
import json
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.errors import ExportError

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
MANIFEST = "Manifest.json"
_NAMES = (MANIFEST, MODEL, WEIGHTS)
# As the manifest names them: below Data.
_MODEL_ITEM = "com.apple.CoreML/model.mlmodel"
_WEIGHTS_ITEM = "com.apple.CoreML/weights"
# The converter's notes for another tool's debugger.
_DEBUG = "executorch_debug_handle_mapping.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


def pack(folder: Path) -> bytes:
    """The package in this folder as an archive.

    Raises:
        ExportError: The folder holds anything but a package's three files.
    """
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names.discard(_DEBUG)
    if not {MANIFEST, MODEL} <= names <= set(_NAMES):
        raise ExportError(f"{folder} is not a package of one model: it holds {sorted(names)}.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in _NAMES:
            if name in names:
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), _content(folder, name))
    return buffer.getvalue()


def _content(folder: Path, name: str) -> bytes:
    content = (folder / name).read_bytes()
    return _stable_manifest(content, folder) if name == MANIFEST else content


def _stable_manifest(content: bytes, folder: Path) -> bytes:
    """The manifest with identifiers derived from paths, not drawn at random.

    A program without weights has no file of them; the tools list its folder all the same.
    """
    manifest = json.loads(content)
    items = manifest["itemInfoEntries"]
    identifiers = {old: str(uuid.uuid5(_NAMESPACE, item["path"])) for old, item in items.items()}
    absent = {_DEBUG} if (folder / WEIGHTS).exists() else {_DEBUG, _WEIGHTS_ITEM}
    entries = {identifiers[old]: item for old, item in items.items() if item["path"] not in absent}
    manifest["itemInfoEntries"] = dict(sorted(entries.items()))
    manifest["rootModelIdentifier"] = identifiers[manifest["rootModelIdentifier"]]
    return json.dumps(manifest, indent=2).encode()


def unpack(content: bytes, folder: Path) -> None:
    """Write a package's folder; it must not exist.

    Raises:
        ExportError: The archive is damaged or holds other files.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() or not set(archive.namelist()) <= set(_NAMES):
                raise zipfile.BadZipFile("a file is damaged or does not belong there")
            parts = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise ExportError(f"This is no Core ML package: {error}.", "Build it again.") from error
    folder.mkdir(parents=True)
    for name, part in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part)


def replace_folder(content: bytes, folder: Path) -> None:
    """Unpack a package to this folder, replacing an older one if there is any."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".package-") as temporary:
        fresh, old = Path(temporary) / "fresh", Path(temporary) / "old"
        unpack(content, fresh)
        if folder.is_dir():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def open_package(folder: Path) -> None:
    """Open a package as Apple's tools do, and check that its manifest lists what is there.

    Raises:
        ExportError: coremltools does not open it, or the manifest lists other files.
    """
    import coremltools as ct

    try:
        ct.models.MLModel(str(folder), skip_model_load=True)
        manifest = json.loads((folder / MANIFEST).read_text())
        items = manifest["itemInfoEntries"]
        listed = sorted(item["path"] for item in items.values())
        root = items[manifest["rootModelIdentifier"]]["path"]
    except Exception as error:
        raise ExportError(
            f"coremltools cannot open the package: {error}", "Build it again."
        ) from error
    there = [_MODEL_ITEM, *([_WEIGHTS_ITEM] if (folder / WEIGHTS).exists() else [])]
    if listed != there or root != _MODEL_ITEM:
        raise ExportError(
            f"The manifest lists {listed} with the root {root}; the package holds {there}.",
            "Build it again.",
        )


@contextmanager
def unpacked_package(content: bytes) -> Iterator[Path]:
    """A temporary folder with the unpacked package."""
    with tempfile.TemporaryDirectory(prefix="kit-package-") as temporary:
        folder = Path(temporary) / "model.mlpackage"
        unpack(content, folder)
        yield folder
