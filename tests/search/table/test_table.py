"""Tables: read back as they were written, their rows looked up."""

import csv
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import MissingOperator, TableError, UsageError
from search.operators.spec import parse_key
from search.spaces.base import LayeredSpace
from search.table.columns import COLUMNS, entries_to_csv, parse_entries
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread, TimedFile
from search.table.store import (
    ENTRIES,
    EXAM,
    EXAM_COLUMNS,
    MANIFEST,
    SAMPLES,
    Table,
    read_manifest,
    read_table,
)
from search.table.values import count_of
from tests.search.table.builders import BLOCK, BROKEN, EXAM_OF_ONE, FRAME, ROWS, STEM, Write

# --- round trips ----------------------------------------------------------------


def test_a_table_reads_back_as_it_was_written(write: Write) -> None:
    exam = pd.DataFrame([("n1", 100.0, 90.0, 110.0, 101.5)], columns=list(EXAM_COLUMNS))
    folder = write(exam=exam, examined=EXAM_OF_ONE)
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
    known = {column.name for column in COLUMNS if column.parse is count_of} | {
        "key",
        "status",
        "reason",
    }
    assert {failed[column.name] for column in COLUMNS if column.name not in known} == {""}


def test_raw_samples_of_a_table_in_memory_are_refused(make_table: Callable[..., Table]) -> None:
    with pytest.raises(UsageError, match="not been written"):
        make_table().samples()


_OPTIONAL_US = st.none() | st.floats(0.001, 1e9, allow_nan=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_COUNT = st.integers(0, 2**62)
_PHONE = st.sampled_from([None, "3f9a0c21", "3f9a0c21+51bc77e0"])


@st.composite
def _entries(draw: st.DrawFn, key: str) -> Entry:
    status = draw(st.sampled_from(["ok", "unstable", "failed"]))
    low, centre, high = sorted(draw(st.tuples(*[st.floats(0.001, 1e9)] * 3)))
    first = sorted(draw(st.tuples(*[st.floats(0.001, 1e9)] * 3)))
    bounded, timed_first = draw(st.booleans()), draw(st.booleans())
    times: dict[str, Any] = {
        "time": Interval(centre_us=centre, low_us=low, high_us=high),
        "first_call": None
        if not timed_first
        else Interval(
            centre_us=first[1],
            low_us=first[0] if bounded else None,
            high_us=first[2] if bounded else None,
        ),
        "spread": Spread(**{field.name: draw(_OPTIONAL_US) for field in fields(Spread)}),
    }
    sha = draw(st.none() | st.text("0123456789abcdef", min_size=8, max_size=8))
    error = None if status == "failed" else draw(_OPTIONAL_US)
    return Entry(
        key=key,
        status=status,
        reason=draw(_TEXT) if status != "ok" else draw(st.none() | _TEXT),
        **({} if status == "failed" else times),
        sampling=Sampling(
            blocks=draw(_COUNT),
            calls=draw(_COUNT),
            passes=draw(_COUNT),
            rejected_blocks=draw(_COUNT),
            phone=draw(_PHONE),
        ),
        counts=OperatorCounts(**{field.name: draw(_COUNT) for field in fields(OperatorCounts)}),
        artefact=TimedFile(sha256=sha, error=error),
    )


def _close(one: object, other: object) -> bool:
    return one == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)


@given(data=st.data(), number=st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_rows_come_back_from_csv_with_six_digits(data: st.DataObject, number: int) -> None:
    rows = [data.draw(_entries(key)) for key in (STEM, BLOCK, BROKEN)[:number]]
    back = parse_entries(entries_to_csv(rows), "entries.csv")
    assert len(back) == number
    for row, again in zip(rows, back, strict=True):
        for column in COLUMNS:
            read, written = column.value(again), column.value(row)
            assert _close(read, written), column.name
            assert type(read) is type(written), column.name
    assert parse_entries(entries_to_csv(back), "entries.csv") == back


@pytest.mark.parametrize(
    "reason",
    ["\r 50 %\r100 %", "two\nlines", "two\r\nlines", "\0", " ", '"', "a,b", "NA", "\u2028"],
)
def test_any_message_of_a_runtime_can_be_a_reason(reason: str) -> None:
    row = replace(ROWS[2], reason=reason)
    assert parse_entries(entries_to_csv([row, ROWS[0]]), "entries.csv") == (row, ROWS[0])


# --- rows -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": "fine"}, "unknown status"),
        ({"status": "failed"}, "without a reason"),
        ({"time": None}, "missing or not positive"),
        ({"status": "unstable", "time": Interval(centre_us=-1.0)}, "missing or not positive"),
    ],
)
def test_an_impossible_row_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        replace(ROWS[0], **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"low_us": None},
        {"high_us": None},
        {"low_us": 0.0},
        {"low_us": 11.0},
        {"high_us": 9.0},
        {"high_us": float("inf")},
        {"centre_us": float("nan")},
        {"centre_us": -1.0},
    ],
)
def test_a_row_with_an_impossible_time_is_refused(changes: dict[str, Any]) -> None:
    time = replace(ROWS[0].known_time, **changes)
    for status in ("ok", "unstable", "predicted"):
        with pytest.raises(TableError, match="missing or not positive"):
            replace(ROWS[0], status=status, time=time)


def test_a_row_of_no_operator_is_refused() -> None:
    with pytest.raises(UsageError, match="not an operator key"):
        replace(ROWS[0], key="conv3x3")


def test_the_relative_half_width_of_a_failed_row_is_infinite() -> None:
    assert ROWS[0].relative_half_width == pytest.approx(0.015)
    assert ROWS[2].relative_half_width == float("inf")


# --- lookups --------------------------------------------------------------------


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
