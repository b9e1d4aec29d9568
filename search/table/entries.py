"""Entry: one row of a latency table, and the rows' CSV format."""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, asdict, dataclass, fields
from typing import Any, get_args

import pandas as pd

from search.errors import TableError, UsageError
from search.operators.spec import OperatorSpec, parse_key

STATUSES = ("ok", "unstable", "failed", "predicted")
AGAIN = "Restore the folder from where it came, or measure again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row: an operator with what was measured of it.

    `centre_us` is the time of one call, back to back: the mean over passes of
    the median block. The interval around it is Student's t over the pass
    medians, at the manifest's level. `first_us` is the
    first call after other operators ran (its input just written), as inside a
    network. `status` "unstable" means that the precision asked for was not
    reached; "failed" rows have a reason and no times. "predicted" rows were
    not measured: their interval is the predictor's. Rows of an imported table
    may lack an interval.
    """

    key: str
    status: str
    reason: str | None = None
    centre_us: float | None = None
    low_us: float | None = None
    high_us: float | None = None
    first_us: float | None = None
    first_low_us: float | None = None
    first_high_us: float | None = None
    lower_quartile_us: float | None = None
    mean_us: float | None = None
    min_us: float | None = None
    mad_us: float | None = None
    p5_us: float | None = None
    p95_us: float | None = None
    blocks: int = 0
    calls: int = 0
    passes: int = 0
    rejected_blocks: int = 0
    flops: int = 0
    params: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    weight_bytes: int = 0
    artefact_sha256: str | None = None
    artefact_error: float | None = None

    def __post_init__(self) -> None:
        parse_key(self.key)
        if self.status not in STATUSES:
            raise TableError(f"Row {self.key}: unknown status {self.status!r}.")
        if self.status == "failed" and not self.reason:
            raise TableError(f"Row {self.key}: failed without a reason.")
        if self.status != "failed" and not _sane_times(self):
            raise TableError(f"Row {self.key}: its times are missing or not positive.")

    @property
    def operator(self) -> OperatorSpec:
        """The operator of this row."""
        return parse_key(self.key)

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the median; infinite for a failed row."""
        if self.centre_us is None or self.low_us is None or self.high_us is None:
            return math.inf
        return (self.high_us - self.low_us) / 2 / self.centre_us


def _sane_times(entry: Entry) -> bool:
    low, mid, high = entry.low_us, entry.centre_us, entry.high_us
    if low is None and high is None:
        return mid is not None and 0 < mid < math.inf
    if low is None or mid is None or high is None:
        return False
    return 0 < low <= mid <= high < math.inf


def entries_to_csv(entries: Iterable[Entry]) -> str:
    """Rows as CSV; unknown is an empty cell."""
    columns = [field.name for field in fields(Entry)]
    frame = pd.DataFrame([asdict(entry) for entry in entries], columns=columns)
    for column in frame.columns:
        if frame[column].isna().all():
            frame[column] = ""
    text: str = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text


def parse_entries(text: str, origin: str) -> tuple[Entry, ...]:
    """Read rows back.

    Raises:
        TableError: Other columns, a broken key, or impossible values.
    """
    try:
        # Only "\n" ends a row: a lone "\r" in a runtime's message is not quoted.
        frame = pd.read_csv(
            io.StringIO(text), keep_default_na=False, dtype=str, lineterminator="\n"
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TableError(f"{origin} cannot be parsed: {error}.") from error
    expected = [field.name for field in fields(Entry)]
    if list(frame.columns) != expected:
        raise TableError(f"{origin} has other columns than this schema.", AGAIN)
    columns = [_cells(frame[field.name].tolist(), field) for field in fields(Entry)]
    try:
        rows = tuple(
            Entry(**dict(zip(expected, row, strict=True))) for row in zip(*columns, strict=True)
        )
    except (ValueError, UsageError, TableError) as error:
        why = str(error).rstrip(".")
        raise TableError(f"{origin} holds an impossible row: {why}.", AGAIN) from error
    if len({row.key for row in rows}) != len(rows):
        raise TableError(f"{origin} names an operator twice.", AGAIN)
    return rows


def _cells(cells: Sequence[str], field: "Field[Any]") -> Iterator[Any]:
    """One column's values; where a field may be unknown, an empty cell is."""
    kinds = get_args(field.type) or (field.type,)
    kind, optional = kinds[0], type(None) in kinds
    for cell in cells:
        yield None if optional and cell == "" else kind(cell)
