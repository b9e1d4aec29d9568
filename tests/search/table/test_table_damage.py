"""Tables are refused when anything is wrong with them, by the name of what is."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search.errors import TableError
from search.files import sha256_bytes
from search.table.entries import Entry
from search.table.manifest import TABLE_SCHEMA
from search.table.store import ENTRIES, EXAM, MANIFEST, SAMPLES, SEAL, read_table
from tests.search.table.builders import BLOCK, ROWS, STEM, Write


def _reseal(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> None:
    """Edit a manifest as somebody would who knows how to hide it."""
    content = json.loads((folder / MANIFEST).read_text())
    for name in content["files_sha256"]:
        content["files_sha256"][name] = sha256_bytes((folder / name).read_bytes())
    if change is not None:
        change(content)
    del content[SEAL]
    content[SEAL] = sha256_bytes(json.dumps(content, sort_keys=True).encode())
    (folder / MANIFEST).write_text(json.dumps(content))


def _refused(folder: Path, name: str | None, problem: str) -> None:
    with pytest.raises(TableError, match=problem) as caught:
        read_table(folder)
    assert str(folder if name is None else folder / name) in caught.value.message
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("name", [ENTRIES, SAMPLES, EXAM])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(write: Write, name: str, keep: float) -> None:
    path = write() / name
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    _refused(path.parent, name, "edited or truncated")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_manifest_is_refused_by_name(write: Write, keep: float) -> None:
    path = write() / MANIFEST
    text = path.read_text().rstrip()
    path.write_text(text[: int(keep * len(text))])
    _refused(path.parent, MANIFEST, "is damaged")


def test_an_edited_cell_is_refused(write: Write) -> None:
    path = write() / ENTRIES
    text = path.read_text()
    assert text.count("20.5,") == 1
    path.write_text(text.replace("20.5,", "20.4,"))
    _refused(path.parent, ENTRIES, "edited or truncated")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"threads": 1', '"threads": 2'),
        ('"operators_missing": 48', '"operators_missing": 0'),
        ('"source": "simulated"', '"source": "measured"'),
    ],
)
def test_an_edited_manifest_is_refused(write: Write, old: str, new: str) -> None:
    path = write() / MANIFEST
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    _refused(path.parent, MANIFEST, "was edited")


def test_a_manifest_without_its_seal_is_refused(write: Write) -> None:
    path = write() / MANIFEST
    content = json.loads(path.read_text())
    del content[SEAL]
    path.write_text(json.dumps(content))
    _refused(path.parent, MANIFEST, "was edited")


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (TABLE_SCHEMA + 1, f"has schema {TABLE_SCHEMA + 1}; this kit reads up to {TABLE_SCHEMA}"),
        (0, "no kit ever wrote"),
        (-3, "no kit ever wrote"),
        ("1", "names no schema version"),
        (None, "names no schema version"),
    ],
)
def test_a_schema_that_this_kit_does_not_know_is_refused(
    write: Write, version: object, problem: str
) -> None:
    folder = write()
    _reseal(folder, lambda content: content.update(schema_version=version))
    _refused(folder, MANIFEST, problem)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda content: content["protocol"].pop("threads"), "protocol.threads"),
        (lambda content: content["protocol"].update(threads="many"), "protocol.threads"),
        (lambda content: content["space"].update(colour="red"), "space.colour"),
        (lambda content: content.update(source="guessed"), "source"),
    ],
)
def test_a_manifest_with_a_field_that_is_wrong_missing_or_unknown_is_refused(
    write: Write, change: Callable[[dict[str, Any]], Any], where: str
) -> None:
    folder = write()
    _reseal(folder, change)
    _refused(folder, MANIFEST, f"not a valid manifest: {re.escape(where)}")


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_manifest_that_is_no_object_is_refused(write: Write, text: str) -> None:
    folder = write()
    (folder / MANIFEST).write_text(text)
    _refused(folder, MANIFEST, "is not a manifest")


@pytest.mark.parametrize("name", [ENTRIES, SAMPLES, EXAM])
def test_a_missing_file_is_named(write: Write, name: str) -> None:
    folder = write()
    (folder / name).unlink()
    _refused(folder, None, f"lacks {name}")


def test_what_is_no_table_folder_is_refused_with_an_example(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a table")
    (tmp_path / "empty").mkdir()
    for name in ("file", "empty", "absent"):
        with pytest.raises(TableError, match=f"{name} is not a table") as caught:
            read_table(tmp_path / name)
        assert "tables/<device>/<name>" in caught.value.remedy


def test_a_row_given_twice_is_refused(write: Write) -> None:
    _refused(write(rows=(*ROWS, ROWS[0])), ENTRIES, "names an operator twice")


def test_rows_of_another_number_format_are_refused(write: Write) -> None:
    stranger = replace(ROWS[1], key=BLOCK.replace("fp32", "int8"))
    _refused(write(rows=(ROWS[0], stranger)), None, "mixes number formats: .*_int8")


@pytest.mark.parametrize(
    "counted",
    [ROWS[:2], ROWS[1:], (*ROWS, ROWS[2]), (replace(ROWS[0], status="unstable"), *ROWS[1:])],
)
def test_a_manifest_that_counts_other_rows_is_refused(
    write: Write, counted: tuple[Entry, ...]
) -> None:
    _refused(write(counted=counted), None, "the manifest counts")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("centre_us", "median_ms", "other columns"),
        (STEM, "conv3x3", "impossible row.*not an operator key"),
        (",ok,", ",good,", "impossible row.*unknown status"),
        (",unstable,", ",failed,", "the manifest counts"),
        (",20.5,", ",fast,", "impossible row"),
        (",20.5,", ",,", "impossible row.*its times are missing"),
        (",20.5,", ",1,2,3,20.5,", "parsed|impossible row"),
    ],
)
def test_rows_that_were_edited_and_sealed_again_are_still_checked(
    write: Write, old: str, new: str, problem: str
) -> None:
    folder = write()
    path = folder / ENTRIES
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _reseal(folder)
    _refused(folder, None if "counts" in problem else ENTRIES, problem)


def test_an_exam_with_other_columns_is_refused(write: Write) -> None:
    folder = write(exam=pd.DataFrame({"network": ["a"], "predicted_ms": [1.0]}))
    _refused(folder, EXAM, "other columns than network, predicted_us")
