"""Tables: written whole, read back, and refused when anything is wrong."""

import csv
import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn, get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.entries import Entry, entries_to_csv, parse_entries
from search.errors import MissingOperator, TableError, UsageError
from search.files import sha256_bytes
from search.manifest import Manifest
from search.operators import parse_key
from search.spaces.base import LayeredSpace
from search.table import (
    ENTRIES,
    EXAM,
    EXAM_COLUMNS,
    MANIFEST,
    SAMPLES,
    SEAL,
    Table,
    read_manifest,
    read_table,
    write_table,
)

STEM = "conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32"
BLOCK = "ir_k3_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
BROKEN = "ir_k5_e1_m16_g1_relu_i16_o16_h32_w32_s1_r1_p0_b1_fp32"
ROWS = (
    Entry(key=STEM, status="ok", centre_us=10.0, low_us=9.9, high_us=10.2, blocks=12, passes=2),
    Entry(
        key=BLOCK,
        status="unstable",
        reason="asked for 1 %",
        centre_us=20.5,
        low_us=15.0,
        high_us=31.25,
    ),
    Entry(key=BROKEN, status="failed", reason='crash: "signal 9", no, result'),
)
FRAME = pd.DataFrame({"key": [STEM, BLOCK], "pass_": [0, 1], "block_ns": [10_000, 20_500]})
NO_EXAM = pd.DataFrame(columns=list(EXAM_COLUMNS))

Write = Callable[..., Path]


@pytest.fixture
def write(
    tmp_path: Path, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> Write:
    """Write a small table; the manifest counts the rows given, or those of `counted`."""

    def write(
        rows: tuple[Entry, ...] = ROWS,
        counted: tuple[Entry, ...] | None = None,
        exam: pd.DataFrame = NO_EXAM,
    ) -> Path:
        folder = tmp_path / "device" / "table-1"
        manifest = make_manifest(rows if counted is None else counted)
        # Written as an older or another program might have: unchecked.
        with monkeypatch.context() as patch:
            for check in ("_check_counts", "_check_exam", "parse_entries"):
                patch.setattr(f"search.table.{check}", lambda *_: None)
            write_table(folder, manifest, rows, FRAME, exam)
        return folder

    return write


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


# --- round trips ---------------------------------------------------------------


def test_a_table_reads_back_as_it_was_written(write: Write) -> None:
    exam = pd.DataFrame([("n1", 100.0, 90.0, 110.0, 101.5)], columns=list(EXAM_COLUMNS))
    folder = write(exam=exam)
    table = read_table(folder)
    assert table.entries == ROWS
    assert table.path == folder
    assert table.manifest == read_manifest(folder)
    assert table.manifest.space.operators_missing == 51 - 3
    pd.testing.assert_frame_equal(table.exam, exam, check_dtype=False)
    pd.testing.assert_frame_equal(table.samples(), FRAME)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [MANIFEST, ENTRIES, SAMPLES, EXAM]
    )


def test_a_table_without_rows_reads_back(write: Write) -> None:
    assert read_table(write(rows=())).entries == ()


def test_unknown_is_an_empty_cell_never_a_number(write: Write) -> None:
    with (write() / ENTRIES).open(newline="") as stream:
        _, _, failed = csv.DictReader(stream)
    unknown = [field.name for field in fields(Entry) if type(None) in get_args(field.type)]
    assert {failed[name] for name in unknown if name != "reason"} == {""}


def test_raw_samples_of_a_table_in_memory_are_refused(make_table: Callable[..., Table]) -> None:
    with pytest.raises(UsageError, match="not been written"):
        make_table().samples()


_OPTIONAL_US = st.none() | st.floats(0.001, 1e9, allow_nan=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_COUNT = st.integers(0, 2**62)


@st.composite
def _entries(draw: st.DrawFn, key: str) -> Entry:
    status = draw(st.sampled_from(["ok", "unstable", "failed"]))
    times = [name.name for name in fields(Entry) if name.type == float | None]
    values: dict[str, Any] = {name: draw(_OPTIONAL_US) for name in times}
    interval = sorted(draw(st.tuples(*[st.floats(0.001, 1e9)] * 3)))
    values |= dict(zip(("low_us", "centre_us", "high_us"), interval, strict=True))
    if status == "failed":
        values = {}
    counts = {field.name: draw(_COUNT) for field in fields(Entry) if field.type is int}
    reason = draw(_TEXT) if status != "ok" else draw(st.none() | _TEXT)
    sha = draw(st.none() | st.text("0123456789abcdef", min_size=8, max_size=8))
    return Entry(key=key, status=status, reason=reason, artefact_sha256=sha, **counts, **values)


def _close(one: object, other: object) -> bool:
    return one == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)


@given(data=st.data(), number=st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_rows_come_back_from_csv_with_six_digits(data: st.DataObject, number: int) -> None:
    rows = [data.draw(_entries(key)) for key in (STEM, BLOCK, BROKEN)[:number]]
    back = parse_entries(entries_to_csv(rows), "entries.csv")
    assert len(back) == number
    for row, again in zip(rows, back, strict=True):
        for field in fields(Entry):
            kept, written = getattr(again, field.name), getattr(row, field.name)
            assert _close(kept, written), field.name
            assert isinstance(kept, get_args(field.type) or field.type)
    assert parse_entries(entries_to_csv(back), "entries.csv") == back


@pytest.mark.parametrize(
    "reason",
    ["\r 50 %\r100 %", "two\nlines", "two\r\nlines", "\0", " ", '"', "a,b", "NA", "\u2028"],
)
def test_any_message_of_a_runtime_can_be_a_reason(reason: str) -> None:
    row = replace(ROWS[2], reason=reason)
    assert parse_entries(entries_to_csv([row, ROWS[0]]), "entries.csv") == (row, ROWS[0])


# --- rows ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": "fine"}, "unknown status"),
        ({"status": "failed"}, "without a reason"),
        ({"centre_us": None}, "missing or not positive"),
        ({"low_us": None}, "missing or not positive"),
        ({"low_us": 0.0}, "missing or not positive"),
        ({"low_us": 11.0}, "missing or not positive"),
        ({"high_us": 9.0}, "missing or not positive"),
        ({"high_us": float("inf")}, "missing or not positive"),
        ({"centre_us": float("nan")}, "missing or not positive"),
        ({"status": "unstable", "centre_us": -1.0}, "missing or not positive"),
    ],
)
def test_an_impossible_row_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        replace(ROWS[0], **changes)


def test_a_row_of_no_operator_is_refused() -> None:
    with pytest.raises(UsageError, match="not an operator key"):
        replace(ROWS[0], key="conv3x3")


def test_the_relative_half_width_of_a_failed_row_is_infinite() -> None:
    assert ROWS[0].relative_half_width == pytest.approx(0.015)
    assert ROWS[2].relative_half_width == float("inf")


# --- lookups -------------------------------------------------------------------


def test_a_lookup_gives_the_row_of_that_operator_unstable_ones_too(write: Write) -> None:
    table = read_table(write())
    assert table.lookup(parse_key(STEM)) == ROWS[0]
    assert table.lookup(parse_key(BLOCK)) == ROWS[1]


@pytest.mark.parametrize(
    ("key", "problem"), [(BLOCK.replace("_b1_", "_b2_"), "has no row"), (BROKEN, "signal 9")]
)
def test_a_missing_or_failed_operator_is_an_error_that_names_the_command(
    write: Write, mini: LayeredSpace, key: str, problem: str
) -> None:
    with pytest.raises(MissingOperator, match=problem) as caught:
        read_table(write()).lookup(parse_key(key))
    assert key in caught.value.message
    assert caught.value.remedy.endswith(
        f"python -m profiler --device simulated --space {mini.spec} --dtype fp32 "
        "--backend simulated --threads 1"
    )


def test_the_label_says_that_a_table_was_not_measured(write: Write) -> None:
    table = read_table(write())
    assert table.label == "simulated-1/fbnet-mini-made-up [simulated]"
    measured = replace(table, manifest=table.manifest.model_copy(update={"source": "measured"}))
    assert measured.label == "simulated-1/fbnet-mini-made-up"


# --- damage --------------------------------------------------------------------


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
        (3, "has schema 3; this kit reads up to 2"),
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


# --- writing -------------------------------------------------------------------


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
    sync, done = os.fsync, []

    def full(handle: int) -> None:
        if len(done) == survivors:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(handle)
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write()
    assert list((tmp_path / "device").iterdir()) == []
    assert read_table(write()).entries == ROWS


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.rename"])
def test_an_interrupt_while_writing_leaves_nothing_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(step, _interrupted)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert list((tmp_path / "device").iterdir()) == []


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
