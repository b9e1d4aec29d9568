"""The rows of a table of this kit as `export csv` and `show --format csv` write them.

They say nothing of the device, and keep every row as it was.
"""

from dataclasses import dataclass

from profiler.tables.importers.base import ForeignRow, ForeignTable, damaged
from search.errors import TableError
from search.table.columns import parse_entries


@dataclass(frozen=True, slots=True)
class KitCsv:
    """Reads `entries.csv`."""

    name: str = "csv"
    published: str = "CSV files are written by export csv, of the table that was named there."

    def read(self, text: str, origin: str) -> tuple[ForeignTable, ...]:
        """One table a file."""
        try:
            entries = parse_entries(text, origin)
        except TableError as error:
            raise damaged(origin, error.message) from error
        dtypes = sorted({entry.operator.dtype for entry in entries})
        if len(dtypes) != 1:
            raise damaged(origin, f"its rows are of {len(dtypes)} dtypes, not of one")
        rows = tuple(
            ForeignRow(source_key=entry.key, value=entry.time.centre_us, operator=entry.operator)
            for entry in entries
            if entry.time is not None
        )
        if not rows:
            raise damaged(origin, "it holds no times")
        return (
            ForeignTable(title="csv", dtype=dtypes[0], value_unit="us", rows=rows, entries=entries),
        )
