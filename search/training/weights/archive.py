"""Files of tensors, as `torch.save` writes them: checked before they are read, never executed."""

import io
import zipfile
from pathlib import Path

import torch


def load_tensors(source: Path | bytes, *, own: bool = False) -> object:
    """What a file of tensors holds, on the CPU.

    torch looks neither at the check sums that it writes nor at how much a file unpacks to.

    Args:
        source: The file, or its content.
        own: The kit wrote it: an archive whose check sums hold. Others may have been written
            without check sums, or before torch wrote archives.

    Raises:
        Exception: Of many kinds, as torch has them for a damaged file; `ValueError` where the
            archive itself is.
    """
    if own or zipfile.is_zipfile(_opened(source)):
        _check_archive(source, sums=own)
    return torch.load(_opened(source), map_location="cpu", weights_only=True)


def _opened(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _check_archive(source: Path | bytes, *, sums: bool) -> None:
    try:
        with zipfile.ZipFile(_opened(source)) as archive:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            if sum(member.file_size for member in archive.infolist()) > size:
                raise ValueError("it unpacks to more than it is")
            damaged = archive.testzip() if sums else None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is no whole archive: {error}") from error
    if damaged is not None:
        raise ValueError(f"{damaged} differs from its check sum")
