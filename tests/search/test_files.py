"""Files are either whole or absent."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from search.files import sha256_bytes, sha256_file, write_bytes, write_text


def _full(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _interrupted(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [_full, _interrupted])
@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.chmod", "pathlib.Path.replace"])
def test_a_write_that_fails_midway_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: Any
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(step, failure)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full)
        with pytest.raises(OSError, match="No space"):
            write_bytes(tmp_path / "file.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_write_replaces_the_whole_file_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "a long old text")
    write_text(path, "ü\r\n")
    assert path.read_bytes() == "ü\r\n".encode()
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_reader_never_sees_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen, sync = tmp_path / "file.txt", [], os.fsync
    write_text(path, "old")

    def look(handle: int) -> None:
        seen.append(path.read_text())
        sync(handle)

    monkeypatch.setattr("os.fsync", look)
    write_text(path, "new")
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_hashes_of_bytes_and_of_a_file_are_plain_sha256(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "file").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256_bytes(content) == sha256_file(tmp_path / "file") == expected
