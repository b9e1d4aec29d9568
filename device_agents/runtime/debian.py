"""Files out of a Debian package, read with the standard library.

A .deb is an `ar` archive whose member data.tar.* is a compressed tar (Debian's deb(5)).
"""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from search.errors import DeviceError

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60


def read_members(package: Path, members: Mapping[str, str]) -> dict[str, bytes]:
    """Contents by name; links inside the package are followed.

    Args:
        package: The .deb.
        members: Path inside the package, by the name that it gets.

    Raises:
        DeviceError: It is no such archive, or lacks one of them.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(package.read_bytes()))) as archive:
            return {name: _read(archive, path) for name, path in members.items()}
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise DeviceError(
            f"{package} is not the Debian package it should be: {error}.",
            "Remove it and try again.",
        ) from error


def _data(content: bytes) -> bytes:
    """The member data.tar.* of an `ar` archive."""
    if not content.startswith(_MAGIC):
        raise ValueError("no ar archive")
    at = len(_MAGIC)
    while at + _HEADER_BYTES <= len(content):
        header = content[at : at + _HEADER_BYTES]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        at += _HEADER_BYTES
        if name.startswith("data.tar"):
            return content[at : at + size]
        at += size + size % 2  # members begin at even places
    raise ValueError("no data.tar in it")


def _read(archive: tarfile.TarFile, path: str) -> bytes:
    stream = archive.extractfile(f"./{path}")
    if stream is None:
        raise ValueError(f"{path} is no file")
    return stream.read()
