"""Tables by words: which one is meant, and what is said where none or several are."""

import shutil
from pathlib import Path

import pytest

from search.errors import UsageError
from search.spaces.registry import make_space
from search.table.query import find_table, list_tables, matching
from tests.search.cli.runner import write

MINI, CIFAR = make_space("fbnet-mini", resolution=16), make_space("fbnet-mini", dtype="int8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a table, its int8 sister, and another phone's newer one."""
    root = tmp_path_factory.mktemp("project") / "tables"
    dates = {name: f"2026-01-0{day}T03:04:05+00:00" for day, name in enumerate("abcd", 1)}
    write(root / "phone-a" / f"{MINI.spec}-xnnpack-t1-v1", created_utc=dates["a"])
    write(root / "phone-a" / f"{MINI.spec}-xnnpack-t1-v2", created_utc=dates["b"], seed=1)
    write(root / "phone-a" / f"{CIFAR.spec}-xnnpack-t1-v1", space=CIFAR, created_utc=dates["c"])
    write(root / "phone-b" / f"{MINI.spec}-xnnpack-t1-v1", created_utc=dates["d"], seed=2)
    return root


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("int8", "phone-a/fbnet-mini-*int8*-v1"),
        ("fbnet-mini fp32 latest", "phone-b/fbnet-mini-*-v1"),
        ("latest", "phone-b/fbnet-mini-*-v1"),
        ("fp32,v2", "phone-a/fbnet-mini-*-v2"),
        ("v1 r16 phone-a/", "phone-a/fbnet-mini-r16-*-v1"),
        ("int8 t1 xnnpack measured android", "phone-a/fbnet-mini-*int8*-v1"),
    ],
)
def test_words_that_fit_one_newest_table_name_it(root: Path, words: str, expected: str) -> None:
    assert find_table(words, root) == next(root.glob(expected))


def test_a_path_is_a_path_whether_it_begins_with_the_folder_or_below_it(root: Path) -> None:
    (folder,) = root.glob("phone-a/*-v2")
    assert find_table(folder, root) == folder
    assert find_table(folder.relative_to(root), root) == folder
    assert find_table("nowhere/at-all", root) == Path("nowhere/at-all")


def test_several_tables_are_listed_and_none_is_taken(root: Path) -> None:
    with pytest.raises(UsageError, match="2 tables fit 'fp32'") as refused:
        find_table("fp32", root)
    assert all(f"phone-{name}/" in refused.value.message for name in "ab")
    assert "latest" in refused.value.remedy


def test_words_that_fit_nothing_lead_to_the_list(root: Path) -> None:
    with pytest.raises(UsageError, match="is not a table") as refused:
        find_table("fp16", root)
    assert "python -m profiler tables" in refused.value.remedy


def test_a_folder_of_the_users_that_is_named_like_a_space_hides_no_table(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("int8").mkdir()
    assert find_table("int8", root) == find_table("int8 latest", root)


def test_a_damaged_table_is_listed_with_its_reason_and_hides_no_other(
    root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "tables"
    shutil.copytree(root, copy)
    (copy / "phone-b").joinpath(
        next((root / "phone-b").iterdir()).name, "manifest.json"
    ).write_text("{}")
    problems = {facts.label: facts.problem for facts in list_tables(copy)}
    assert len(problems) == 4
    (reason,) = filter(None, problems.values())
    assert "schema" in reason
    assert find_table("latest", copy).name.endswith("int8-xnnpack-t1-v1")


def test_no_word_means_every_newest_version(root: Path) -> None:
    assert len(matching(list_tables(root), [])) == 3
