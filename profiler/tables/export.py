"""Tables for other programs: CSV, once-for-all's style, or the file they came from."""

from collections.abc import Sequence
from typing import Any

import yaml

from profiler.tables.importers.import_file import PREAMBLE, published_rows
from profiler.tables.importers.kit_mark import mark_of
from profiler.tables.importers.mobile_keys import once_for_all_key
from profiler.tables.importers.registry import find_published, published_names
from search.errors import TableError, UsageError
from search.table.columns import entries_to_csv
from search.table.store import Table

CSV, ONCE_FOR_ALL = "csv", "once-for-all"


def export_names() -> tuple[str, ...]:
    """Formats that can be written."""
    return (CSV, *published_names())


def export_tables(format_name: str, tables: Sequence[Table]) -> str:
    """Tables as the text of a file.

    Imported tables go back to their publisher's format exactly. Any other
    table can become CSV or once-for-all's style: key -> count, mean and std
    in milliseconds, below a comment that says of which device and runtime they are.

    Raises:
        UsageError: Unknown format, or more tables than the format holds.
        TableError: The format cannot express what a table holds.
    """
    if format_name not in export_names():
        raise UsageError(f"Unknown format {format_name!r}.", f"Known: {', '.join(export_names())}.")
    origins = {table.manifest.origin.format if table.manifest.origin else None for table in tables}
    if len(tables) > 1 and (origins != {format_name} or format_name != "hw-nas-bench"):
        raise UsageError(f"{format_name} holds one table a file.", "Export them one by one.")
    if format_name == CSV:
        return entries_to_csv(tables[0].entries)
    if origins == {format_name}:
        rows = {table.manifest.device.model or "": published_rows(table) for table in tables}
        preamble = tables[0].manifest.context.get(PREAMBLE, "")
        return preamble + find_published(format_name).write(rows)
    if format_name != ONCE_FOR_ALL:
        raise TableError(
            f"{tables[0].label} did not come from {format_name} and cannot become it.",
            f"Export it as {CSV} or {ONCE_FOR_ALL}.",
        )
    return _once_for_all(tables[0])


def _once_for_all(table: Table) -> str:
    spreads = _deviations_us(table)
    rows: dict[str, dict[str, Any]] = {}
    for entry in table.entries:
        if entry.status == "predicted":
            raise TableError(
                f"{table.label} holds predicted rows, and once-for-all's style cannot mark them.",
                "Export it as csv.",
            )
        if entry.time is None:
            continue
        key = once_for_all_key(entry.operator)
        if key in rows:
            raise TableError(
                f"once-for-all's style has one key for two operators: {key}.", "Export it as csv."
            )
        deviation = spreads.get(entry.key)
        rows[key] = {
            "count": entry.sampling.blocks,
            "mean": entry.time.centre_us / 1e3,
            "std": None if deviation is None else deviation / 1e3,
        }
    text: str = yaml.safe_dump(rows, default_flow_style=False, width=10_000)
    return mark_of(table, len(rows)) + text


def _deviations_us(table: Table) -> dict[str, float]:
    """Standard deviation of a call's time over blocks; nothing for an imported table."""
    if table.manifest.origin is not None:
        return {}
    samples = table.samples()
    calls_us = samples["ns"].astype("float64") / samples["loops"].astype("float64") / 1e3
    spread = calls_us.groupby(samples["item"]).std()
    return {str(item): float(value) for item, value in spread.dropna().items()}
