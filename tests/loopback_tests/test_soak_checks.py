"""The soak's own eyes: each fault that it looks for is found when it is there."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from device_agents.runtime.folder import hash_files, hash_folder
from tests.benchmarks.soak_checks import (
    broken_files,
    broken_folders,
    faults_of_device,
    faults_of_samples,
)

ITEMS = ("a", "b", "net")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def samples() -> pd.DataFrame:
    """Three items, two passes of two rounds, one block after the other."""
    rows = [(item, p, r) for p in range(2) for r in range(2) for item in ITEMS]
    frame = pd.DataFrame(rows, columns=["item", "pass", "round"])
    return frame.assign(at_ns=[1000 * (k + 1) for k in range(len(frame))], ns=900)


def without(item: str, number: int) -> Change:
    return lambda frame: frame[~((frame["item"] == item) & (frame["pass"] == number))]


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    """A block that a resumed run stored again, under the next round's name."""
    frame.loc[frame.index[3], ["at_ns", "ns"]] = frame.loc[frame.index[0], ["at_ns", "ns"]]
    return frame


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[frame.index[4], "ns"] = 1500
    return frame


def test_a_whole_campaign_has_no_fault() -> None:
    assert faults_of_samples(samples(), 2, ITEMS) == []


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (without("b", 1), ["b has 0 of 2 blocks in pass 1"]),
        (lambda frame: frame.iloc[1:], ["a has 1 of 2 blocks in pass 0"]),
        (lambda frame: frame[frame["item"] != "net"], ["lost: net"]),
        (twice, ["1 block(s) counted twice"]),
        (beside, ["1 block(s) measured beside another"]),
    ],
)
def test_each_fault_of_a_campaign_is_found(change: Change, sentences: list[str]) -> None:
    assert faults_of_samples(change(samples()), 2, ITEMS) == sentences


def test_a_partial_file_under_a_whole_ones_name_is_found(tmp_path: Path) -> None:
    content = b"content"
    name = hashlib.sha256(content).hexdigest()
    (tmp_path / name).write_bytes(content)
    (tmp_path / f"{'0' * 64}.part").write_bytes(b"half")
    whole: dict[str, tuple[int, int]] = {}
    assert broken_files(tmp_path, whole) == []
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content[:3])
    assert broken_files(tmp_path, whole) == [f"a partial file under a whole one's name: {name}"]


def test_a_runtime_that_lacks_a_file_under_a_whole_ones_name_is_found(tmp_path: Path) -> None:
    part = tmp_path / "begun.part"
    part.mkdir()
    for name in ("runner", "lib.so"):
        (part / name).write_text(name)
    whole = part.rename(tmp_path / hash_folder(hash_files(part)))
    assert broken_folders(tmp_path) == []
    (whole / "lib.so").unlink()
    assert broken_folders(tmp_path) == [f"a partial runtime under a whole one's name: {whole.name}"]


def test_what_is_left_on_a_device_is_found(tmp_path: Path) -> None:
    assert faults_of_device(tmp_path, False, 0, 0) == []
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x.part").touch()
    found = faults_of_device(tmp_path, True, 2, 1)
    assert [text.split(":")[0] for text in found] == [
        "left behind",
        "fixed-performance mode is still on",
        "the screen is still kept on",
        "1 runner(s) still at work",
    ]
