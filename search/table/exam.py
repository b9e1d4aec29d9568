"""The rows of `exam.csv`: each examined network, predicted and measured."""

import math
from pathlib import Path

import pandas as pd

from search.errors import TableError
from search.table.columns import AGAIN, parse_csv
from search.table.values import MOST_US, is_time_us, number_of

EXAM_COLUMNS = ("network", "predicted_us", "predicted_low_us", "predicted_high_us", "measured_us")
# What networks need beside their time, since schema 5; a table whose device tells none of it lacks
# these columns, and an empty cell is unknown. `memory_kb` is the peak of the network's own memory
# (`search.table.memory`).
NEEDS_COLUMNS = (
    "file_bytes",
    "planned_bytes",
    "load_us",
    "first_call_us",
    "memory_kb",
    "predicted_memory_kb",
)


def parse_exam(text: str, path: Path) -> pd.DataFrame:
    """Read the networks of an exam: names as text, times and needs as numbers.

    Raises:
        TableError: Ragged or other columns, a network without a name or named twice, or times
            that are none.
    """
    cells = parse_csv(text, str(path))
    check_exam_columns(cells, path)
    names = cells["network"]
    if (names == "").any() or names.duplicated().any():
        raise TableError(f"{path}: a network has no name, or stands twice.", AGAIN)
    try:
        for name in EXAM_COLUMNS[1:]:
            cells[name] = pd.Series([number_of(cell) for cell in cells[name]], dtype="float64")
        for name in NEEDS_COLUMNS:
            if name in cells:
                cells[name] = pd.Series([_amount(cell) for cell in cells[name]], dtype="float64")
    except ValueError as error:
        raise TableError(f"{path} holds an impossible row: {error}.", AGAIN) from error
    for row in cells[list(EXAM_COLUMNS)].itertuples(index=False):
        _check_row(str(row[0]), *map(float, row[1:]), path=path)
    return cells


def _amount(cell: str) -> float:
    """A number that is not negative; NaN where it is unknown."""
    if not cell:
        return math.nan
    value = number_of(cell)
    if value < 0:
        raise ValueError(f"{cell} is below zero")
    return value


def _check_row(
    name: str, value_us: float, low_us: float, high_us: float, measured_us: float, *, path: Path
) -> None:
    ordered = -MOST_US <= low_us <= value_us <= high_us <= MOST_US
    if not ordered or not is_time_us(measured_us):
        raise TableError(f"{path}: the times of {name} are not positive or not in order.", AGAIN)


def check_exam_columns(exam: pd.DataFrame, path: Path) -> None:
    """Refuse a frame that does not begin with the columns of an exam.

    Raises:
        TableError: It does not.
    """
    if tuple(exam.columns[: len(EXAM_COLUMNS)]) != EXAM_COLUMNS or exam.columns.has_duplicates:
        raise TableError(f"{path} has other columns than {', '.join(EXAM_COLUMNS)}.", AGAIN)
