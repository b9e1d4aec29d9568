"""Tables are written whole or not at all, and never over another one."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from search.errors import TableError
from search.files import sha256_bytes
from search.table.manifest import Manifest
from search.table.store import ENTRIES, EXAM, SAMPLES, read_manifest, read_table, write_table
from tests.search.table.builders import FRAME, NO_EXAM, ROWS, Write


def test_an_existing_folder_is_never_overwritten(write: Write) -> None:
    folder = write()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TableError, match="never overwritten"):
        write(rows=ROWS[:1])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_existing_empty_folder_is_never_taken(write: Write, tmp_path: Path) -> None:
    (tmp_path / "device" / "table-1").mkdir(parents=True)
    with pytest.raises(TableError, match="never overwritten"):
        write()


def _interrupted(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("survivors", [0, 1, 3])
def test_a_full_disk_leaves_nothing_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    sync = os.fsync
    done: list[int] = []

    def full(handle: int) -> None:
        if len(done) == survivors:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(handle)
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write()
    assert not (tmp_path / "device").exists()
    assert read_table(write()).entries == ROWS


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.rename"])
def test_an_interrupt_while_writing_leaves_nothing_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(step, _interrupted)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert not (tmp_path / "device").exists()


def test_writing_fills_in_the_hash_of_every_file(write: Write) -> None:
    folder = write()
    hashes = read_manifest(folder).files_sha256
    assert hashes == {
        name: sha256_bytes((folder / name).read_bytes()) for name in (ENTRIES, SAMPLES, EXAM)
    }


def test_a_table_that_could_not_be_read_back_is_not_written(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    twice = (*ROWS, ROWS[0])
    with pytest.raises(TableError, match="twice"):
        write_table(tmp_path / "a" / "t", make_manifest(twice), twice, FRAME, NO_EXAM)
    with pytest.raises(TableError, match="the rows are"):
        write_table(tmp_path / "a" / "t", make_manifest(ROWS[:1]), ROWS, FRAME, NO_EXAM)
    assert not (tmp_path / "a").exists() or not list((tmp_path / "a").iterdir())
