"""Folders of records that a phone measured elsewhere: damaged ones give a sentence, no table."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.conftest import Material
from tests.hostile.damage import BYTES, DEEP, JSON, LONG, NO_NUMBERS, Damage
from tests.hostile.watchdog import run
from tests.profiler.campaign.conftest import packages_are_simulated
from tests.profiler.campaign.recorded import measure

WORDS = ("--device", "iphonex", "--space", "fbnet-mini", "--filter", "^classifier|^skip", "--fast")


def _records(change: Callable[[list[dict[str, Any]]], object]) -> Damage:
    """The records with something done to them."""

    def damage(content: bytes) -> bytes:
        records = [json.loads(line) for line in content.decode().splitlines()]
        change(records)
        return "".join(json.dumps(record) + "\n" for record in records).encode()

    return damage


def _first(kind: str, **changed: object) -> Damage:
    """The first record of a kind with other values."""

    def change(records: list[dict[str, Any]]) -> None:
        next(record for record in records if record["type"] == kind).update(changed)

    return _records(change)


def _text(number: str) -> Damage:
    """A time that is no number, however impossible."""
    return lambda content: content.replace(b'"ns":', f'"ns": {number}, "x":'.encode(), 1)


def _without(kind: str) -> Damage:
    def change(records: list[dict[str, Any]]) -> None:
        records[:] = [record for record in records if record["type"] != kind]

    return _records(change)


RECORDS: dict[str, Damage] = {
    **BYTES,
    **{f"a time of {number[:9]}": _text(number) for number in NO_NUMBERS},
    "a time of zero": _first("sample", ns=0),
    "a negative time": _first("sample", ns=-5),
    "a time beyond 64 bits": _first("sample", ns=2**64),
    "a moment beyond 64 bits": _first("sample", at_ns=2**70),
    "no calls": _first("sample", loops=0),
    "other calls than announced": _first("sample", loops=10**6),
    "an item of another plan": _first("sample", item=2**40),
    "a round of another plan": _first("sample", round=10**6),
    "a block twice": _records(lambda records: records.insert(-1, dict(records[-2]))),
    "another nonce": _first("hello", nonce="elsewhere"),
    "another phone": _first("hello", device_model="iPhone99,9"),
    "a phone with escapes": _first("hello", device_model="\x1b]0;owned\x07"),
    "other threads": _first("hello", threads=7),
    "another unit": _first("hello", backend="coreml-all"),
    "a program of other content": _first("loaded", sha256="0" * 64),
    "a program that ran elsewhere": _first("loaded", placement="moon"),
    "no greeting": _without("hello"),
    "no end": _without("bye"),
    "no samples": _without("sample"),
    "an end that counts otherwise": _first("bye", samples=1),
    "deep nesting": lambda content: DEEP.encode() + b"\n" + content,
    "thousands of digits": lambda content: LONG.encode() + b"\n" + content,
}
FILES: Mapping[str, Mapping[str, Damage]] = {
    "records.jsonl": RECORDS,
    "plan.json": JSON,
    "job.json": JSON,
}
CASES = [(file, name) for file, damages in FILES.items() for name in damages]
# The one program ran elsewhere: its operator has failed, and the table says so.
FAILED = "a program that ran elsewhere"


@pytest.fixture(scope="module")
def prepared(material: Material) -> Iterator[Path]:
    """A prepared folder with the records of a simulated phone."""
    folder = material.folder / "prepared"
    with packages_are_simulated():
        ended = run("profiler", *WORDS, "--quiet", "--prepare", str(folder))
        assert ended.code == 0, ended.told
        measure(folder)
        yield folder


@pytest.fixture
def damaged(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(prepared, tmp_path / "job"))


def _replay(folder: Path) -> tuple[str, ...]:
    out = str(folder.parent / "tables")
    return ("profiler", *WORDS, "--quiet", "--records", str(folder), "-o", out)


@pytest.mark.parametrize(("file", "name"), CASES)
def test_damaged_records_are_refused_with_a_sentence(damaged: Path, file: str, name: str) -> None:
    path = damaged / file
    path.write_bytes(FILES[file][name](path.read_bytes()))
    ended = run(*_replay(damaged))
    assert ended.faults() == [], ended.told
    if name == FAILED:
        assert ended.code == 1, ended.told
        assert "1 operator failed" in ended.out + ended.err
        return
    assert ended.code in (2, 3), ended.told
    assert ended.out == "", ended.told
    assert not (damaged.parent / "tables").exists()


@pytest.mark.parametrize("name", BYTES)
def test_a_damaged_part_of_records_is_refused(damaged: Path, name: str) -> None:
    (damaged / "records").mkdir()
    part = damaged / "records" / "000001.jsonl"
    part.write_bytes(BYTES[name]((damaged / "records.jsonl").read_bytes()))
    (damaged / "records.jsonl").unlink()
    ended = run(*_replay(damaged))
    assert ended.faults() == [], ended.told
    assert ended.code in (2, 3), ended.told
    assert not (damaged.parent / "tables").exists()


def test_whole_records_become_a_table(damaged: Path) -> None:
    ended = run(*_replay(damaged))
    assert (ended.code, ended.faults()) == (0, []), ended.told
    assert len(list((damaged.parent / "tables").rglob("manifest.json"))) == 1
