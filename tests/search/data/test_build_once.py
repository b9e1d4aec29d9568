"""Prepared folders are built once, whole, by one of those who ask."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search.data.build_once import built_once, data_cache
from search.errors import StorageError


def test_of_several_that_ask_at_once_one_builds_and_all_find_the_result(tmp_path: Path) -> None:
    target, built, together = tmp_path / "a" / "target", [], threading.Barrier(4)

    def build(part: Path) -> None:
        built.append(part)
        (part / "first").write_text("1")
        time.sleep(0.05)
        (part / "second").write_text("2")

    def ask(_: int) -> list[str]:
        together.wait()
        return sorted(path.name for path in built_once(target, build).iterdir())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [["first", "second"]] * 4
    assert len(built) == 1


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    def fail(part: Path) -> None:
        (part / "half").touch()
        raise failure

    with pytest.raises(failure):
        built_once(tmp_path / "target", fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    done = built_once(tmp_path / "target", lambda part: (part / "whole").touch())
    assert [path.name for path in done.iterdir()] == ["whole"]


def test_a_full_disk_is_a_storage_error_with_a_remedy(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left") as caught:
        built_once(tmp_path / "target", full)
    assert "KIT_CACHE" in caught.value.remedy
    assert not (tmp_path / "target").exists()


def test_the_cache_is_the_one_given_or_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "environment"))
    assert data_cache(None) == tmp_path / "environment" / "data"
    assert data_cache(tmp_path / "given") == tmp_path / "given" / "data"
    monkeypatch.delenv("KIT_CACHE")
    assert "fbnet-kit" in str(data_cache(None))
