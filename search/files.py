"""Files: written whole or not at all, hashed, and checked for before any work starts.

Needs the standard library alone.
"""

import errno
import hashlib
import os
import tempfile
from pathlib import Path

from search.errors import UsageError

# More than a full disk grants, and written in no time.
_PROBE_BYTES = 65536


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically with UTF-8 text."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically: written beside it, flushed to disk, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_at_most(path: Path, most_bytes: int) -> bytes:
    """The content of a file that may be this large at most, whatever it claims to be.

    Raises:
        OSError: It cannot be read, or is larger.
    """
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes // 2**20} MiB", str(path))
    return content


def sha256_bytes(content: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    """Check that a file can be written or replaced, and has a suffix of its kind.

    Args:
        path: The file; its folder need not be there.
        option: The command-line option that named it, for the remedy.
        suffixes: The name must end in one of these.

    Raises:
        UsageError: Another suffix, a folder of this name, or a folder that
            cannot be written.
    """
    if path.suffix not in suffixes:
        raise UsageError(
            f"{str(path)!r} does not end in {' or '.join(suffixes)}.",
            f"Give {option} such as result{suffixes[0]}.",
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", f"Name a file with {option}.")
    check_folder(path.parent, option)


def check_folder(folder: Path, option: str) -> None:
    """Check that files can be written in a folder, which need not be there yet.

    Nothing is made: a command that fails later leaves no empty folder behind.

    Raises:
        UsageError: It cannot be made or written.
    """
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
    except OSError as error:
        raise UsageError(
            f"Cannot write to {folder}: {error.strerror or error}.",
            f"Choose another place with {option}.",
        ) from error
