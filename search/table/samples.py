"""Reading of `samples.parquet`: raw blocks, or the rows of a published file.

A Parquet file of some kilobytes can unpack to gigabytes, and its numbers are whatever
somebody wrote: its size is checked before it is read, its values before anybody divides by them.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from search.errors import TableError
from search.table.columns import AGAIN
from search.table.values import MOST_CLOCK_KHZ, MOST_NUMBER

_MOST_ROWS = 20_000_000
_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class _Whole:
    """A column of whole numbers: its least and greatest value, and whether some are unknown."""

    least: int
    most: int
    unknown: bool = False


_COLUMNS: Mapping[str, _Whole] = {
    "pass": _Whole(0, 2**31),
    "round": _Whole(0, 2**31),
    "loops": _Whole(1, 2**53),
    "ns": _Whole(1, 2**61),
    "first_ns": _Whole(0, 2**62, unknown=True),
    "switches": _Whole(0, 2**53, unknown=True),
    "at_ns": _Whole(0, 2**62),
    "freq_khz": _Whole(1, MOST_CLOCK_KHZ, unknown=True),
    "temperature_mc": _Whole(-300_000, 10_000_000, unknown=True),
}
_TEXTS = ("item", "source_key", "role", "key")
_NUMBERS = ("count", "value", "spread")


def parse_samples(content: bytes, path: Path) -> pd.DataFrame:
    """The rows of a table's `samples.parquet`.

    Raises:
        TableError: No Parquet file, too large, or with values that no block can have.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            _check_size(file.metadata.num_rows, unpacked, path)
            frame: pd.DataFrame = file.read().to_pandas()
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())[:200].rstrip(".")
        raise TableError(f"{path} cannot be read: {why}.", AGAIN) from error
    for name in frame.columns:
        if not _is_possible(str(name), frame[name]):
            raise TableError(f"{path} holds impossible values in the column {name}.", AGAIN)
    return frame


def _check_size(rows: int, unpacked_bytes: int, path: Path) -> None:
    if rows > _MOST_ROWS or unpacked_bytes > _MOST_BYTES:
        size = f"{rows} rows and {unpacked_bytes / 2**20:.0f} MiB"
        raise TableError(f"{path} would unpack to {size}.", AGAIN)


def _is_possible(name: str, column: Any) -> bool:
    """Whether a column of this name can hold these values; unknown names can hold any."""
    if name in _TEXTS:
        return all(isinstance(value, str) for value in column.dropna().unique())
    if name in _NUMBERS:
        known = column.dropna()
        return pd.api.types.is_numeric_dtype(known) and bool((known.abs() <= MOST_NUMBER).all())
    if (rule := _COLUMNS.get(name)) is None:
        return True
    known = column.dropna()
    if len(known) < len(column) and not rule.unknown:
        return False
    if known.empty:
        return True
    if not pd.api.types.is_integer_dtype(known):
        return False
    return bool(known.min() >= rule.least) and bool(known.max() <= rule.most)
