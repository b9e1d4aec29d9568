"""Folders that are either whole or absent, made once and shared by processes."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from search.cache import cache_root
from search.errors import StorageError


def data_cache(cache: Path | None) -> Path:
    """The folder of prepared data: below `cache`, or below `search.cache.cache_root`."""
    return (cache or cache_root()).absolute() / "data"


def built_once(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, filled by `build` in a folder beside it unless it is there already.

    The processes of one training run open the same data at the same moment:
    one of them works, the others wait for it.

    Raises:
        StorageError: The cache cannot be written.
    """
    if target.exists():
        return target
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                _build(target, build)
    return target


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Report a cache that cannot be written, with a remedy.

    Raises:
        StorageError: In place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot write {target}: {error.strerror or error}.",
            "Make room, or set KIT_CACHE to a folder that can be written.",
        ) from error


def _build(target: Path, build: Callable[[Path], None]) -> None:
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed
    part.mkdir()
    try:
        build(part)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
