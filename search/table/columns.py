"""The columns of `entries.csv`: where each value stands in an `Entry`, and since which schema.

A new column is one line of `COLUMNS` with the schema that brings it, one field
of an entry's group, and a step in `search.table.upgrades` that fills it for
older tables.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.documents import shortened
from search.errors import TableError, UsageError
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread, TimedFile
from search.table.manifest import TABLE_SCHEMA
from search.table.upgrades import upgrade_rows
from search.table.values import count_of, number_of

AGAIN = "Restore the folder from where it came, or measure again."


def _text_or_none(cell: str) -> str | None:
    return cell or None


def _number_or_none(cell: str) -> float | None:
    return number_of(cell) if cell else None


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `group` is the part of an entry that holds the value ("" for the entry
    itself), `attribute` the value's name there, and `parse` reads a cell.
    `since` is the schema that brought the column.
    """

    name: str
    group: str
    attribute: str
    parse: Callable[[str], object]
    since: int = 1

    def value(self, entry: Entry) -> object:
        """An entry's value; None where its group is unknown."""
        group = getattr(entry, self.group) if self.group else entry
        return None if group is None else getattr(group, self.attribute)


COLUMNS: tuple[Column, ...] = (
    Column("key", "", "key", str),
    Column("status", "", "status", str),
    Column("reason", "", "reason", _text_or_none),
    Column("centre_us", "time", "centre_us", _number_or_none),
    Column("low_us", "time", "low_us", _number_or_none),
    Column("high_us", "time", "high_us", _number_or_none),
    Column("first_us", "first_call", "centre_us", _number_or_none),
    Column("first_low_us", "first_call", "low_us", _number_or_none),
    Column("first_high_us", "first_call", "high_us", _number_or_none),
    Column("lower_quartile_us", "spread", "lower_quartile_us", _number_or_none),
    Column("mean_us", "spread", "mean_us", _number_or_none),
    Column("min_us", "spread", "min_us", _number_or_none),
    Column("mad_us", "spread", "mad_us", _number_or_none),
    Column("p5_us", "spread", "p5_us", _number_or_none),
    Column("p95_us", "spread", "p95_us", _number_or_none),
    Column("blocks", "sampling", "blocks", count_of),
    Column("calls", "sampling", "calls", count_of),
    Column("passes", "sampling", "passes", count_of),
    Column("rejected_blocks", "sampling", "rejected_blocks", count_of),
    Column("flops", "counts", "flops", count_of),
    Column("params", "counts", "params", count_of),
    Column("input_bytes", "counts", "input_bytes", count_of),
    Column("output_bytes", "counts", "output_bytes", count_of),
    Column("weight_bytes", "counts", "weight_bytes", count_of),
    Column("artefact_sha256", "artefact", "sha256", _text_or_none),
    Column("artefact_error", "artefact", "error", _number_or_none),
    Column("in_network_us", "", "in_network_us", _number_or_none, since=3),
    Column("state_sensitivity", "spread", "state_sensitivity", _number_or_none, since=3),
    Column("phone", "sampling", "phone", _text_or_none, since=7),
)


def column_names(schema: int) -> list[str]:
    """Columns of a schema's `entries.csv`, in order."""
    return [column.name for column in COLUMNS if column.since <= schema]


def row_of(entry: Entry) -> dict[str, object]:
    """An entry's values by column; unknown is None."""
    return {column.name: column.value(entry) for column in COLUMNS}


def entries_to_csv(entries: Iterable[Entry]) -> str:
    """Rows as CSV; unknown is an empty cell."""
    names = [column.name for column in COLUMNS]
    frame = pd.DataFrame([row_of(entry) for entry in entries], columns=names)
    for column in frame.columns:
        if frame[column].isna().all():
            frame[column] = ""
    text: str = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text


def parse_entries(text: str, origin: str, schema: int = TABLE_SCHEMA) -> tuple[Entry, ...]:
    """Read the rows of a table of this schema.

    Raises:
        TableError: Other columns than the schema's, a broken key, or impossible values.
    """
    frame = parse_csv(text, origin)
    _check_columns(list(frame.columns), origin, schema)
    frame = upgrade_rows(schema, frame)
    try:
        values = [map(column.parse, frame[column.name]) for column in COLUMNS]
        entries = tuple(_entry(row) for row in zip(*values, strict=True))
    except (ValueError, UsageError, TableError) as error:
        why = shortened(error, 300).rstrip(".")
        raise TableError(f"{origin} holds an impossible row: {why}.", AGAIN) from error
    if len({entry.key for entry in entries}) != len(entries):
        raise TableError(f"{origin} names an operator twice.", AGAIN)
    return entries


def parse_csv(text: str, origin: str) -> pd.DataFrame:
    """The cells of a CSV file as text, under their headings.

    Raises:
        TableError: Empty, no CSV, or rows of several lengths.
    """
    try:
        # Only "\n" ends a row: a lone "\r" in a runtime's message is not quoted. The headings
        # are a row like the others, or pandas would take surplus cells for an index.
        cells = pd.read_csv(
            io.StringIO(text),
            header=None,
            keep_default_na=False,
            dtype=str,
            lineterminator="\n",
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        why = " ".join(str(error).split())
        raise TableError(f"{origin} cannot be parsed: {why}.", AGAIN) from error
    # Where a row lacks cells, pandas adds empty ones.
    if text.count(",") != cells.shape[0] * (cells.shape[1] - 1) + _commas_in(cells, text):
        raise TableError(f"{origin} cannot be parsed: its rows differ in length.", AGAIN)
    rows = cells.iloc[1:].reset_index(drop=True)
    rows.columns = pd.Index(cells.iloc[0].tolist())
    return rows


def _commas_in(cells: pd.DataFrame, text: str) -> int:
    if '"' not in text:
        return 0
    return sum(int(cells[name].str.count(",").sum()) for name in cells.columns)


def _check_columns(names: list[str], origin: str, schema: int) -> None:
    expected = column_names(schema)
    if names == expected:
        return
    unknown = [name for name in names if name not in expected]
    missing = [name for name in expected if name not in names]
    problems = [f"{shortened(', '.join(unknown))} unknown"] if unknown else []
    problems += [f"{', '.join(missing)} missing"] if missing else []
    what = " and ".join(problems) or "their order"
    raise TableError(f"{origin} has other columns than schema {schema}: {what}.", AGAIN)


def _entry(values: Iterable[Any]) -> Entry:
    """An entry from its values in the order of `COLUMNS`."""
    groups: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for column, value in zip(COLUMNS, values, strict=True):
        groups[column.group][column.attribute] = value
    own = groups[""]
    return Entry(
        **own,
        time=_interval(own["key"], groups["time"]),
        first_call=_interval(own["key"], groups["first_call"]),
        spread=Spread(**groups["spread"]),
        sampling=Sampling(**groups["sampling"]),
        counts=OperatorCounts(**groups["counts"]),
        artefact=TimedFile(**groups["artefact"]),
    )


def _interval(key: str, values: Mapping[str, Any]) -> Interval | None:
    if all(value is None for value in values.values()):
        return None
    if values["centre_us"] is None:
        raise TableError(f"Row {key}: its times are missing or not positive.")
    return Interval(**values)
