"""Places that could not be written after the work are refused before it."""

import re
from pathlib import Path

import pytest

from search.errors import UsageError
from search.files import check_file, check_folder
from search.pipeline.run_folder import check_run


def test_a_file_in_a_new_folder_is_accepted_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    check_file(tmp_path / "a" / "b" / "net.json", "--output", (".json",))
    check_run(tmp_path / "run", resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_cannot_be_resumed(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(UsageError, match="no run to resume") as caught:
            check_run(folder, resume=True)
        assert "--run" in caught.value.remedy


@pytest.mark.parametrize("name", ["net", "net.yaml", "net.json.bak", ".json", "", "."])
def test_a_file_of_another_suffix_is_refused_with_one_that_would_do(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=r"does not end in \.json.*--output such as result\.json"):
        check_file(Path(name), "--output", (".json",))


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.json").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_file(tmp_path / "net.json", "--output", (".json",))


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/deep", "/sys/nowhere"])
def test_a_folder_that_cannot_be_made_or_written_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"Cannot write to {place}")):
        check_folder(Path(place), "--output")


def test_a_folder_that_is_a_file_is_refused_and_the_file_untouched(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    with pytest.raises(UsageError, match="Cannot write"):
        check_run(path, resume=False)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("kept", ["last.pt", "trials.jsonl", "retrain/last.pt"])
def test_a_folder_with_a_run_is_refused_unless_it_is_to_be_resumed(
    tmp_path: Path, kept: str
) -> None:
    path = tmp_path / "run" / kept
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(UsageError, match=r"holds a run already.*--resume"):
        check_run(tmp_path / "run", resume=False)
    check_run(tmp_path / "run", resume=True)


def test_a_folder_with_other_files_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").touch()
    check_run(tmp_path, resume=False)
