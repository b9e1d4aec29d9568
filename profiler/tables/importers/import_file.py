"""Import of a published table into a folder of the kit's own format, and its rows back.

`samples.parquet` keeps the publisher's rows as they were printed, in their
order and units: that is what makes the way back exact.
"""

import hashlib
import math
import statistics
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from scipy import stats as scipy_stats

from profiler.results.provenance import kit_info
from profiler.tables.importers.base import ForeignRow, ForeignTable, Format, damaged
from profiler.tables.importers.not_text import refuse_content
from profiler.tables.importers.registry import find_format
from profiler.tables.importers.stated import Provenance, Stated, provenance
from profiler.tables.importers.units import UNITS_US, check_units
from profiler.tables.versions import next_version
from search.errors import TableError, UsageError
from search.files import sha256_bytes
from search.operators.spec import OperatorSpec
from search.table.columns import AGAIN
from search.table.entries import Entry, Interval, OperatorCounts, Sampling, Spread
from search.table.manifest import Manifest, Origin, Protocol, SpaceInfo
from search.table.store import EXAM_COLUMNS, Table, write_table

LARGEST_BYTES = 50 * 2**20
COLUMNS = ("source_key", "role", "key", "count", "value", "spread")
PREAMBLE = "preamble"
_LEVEL = 0.95
# Of the logarithm of a time: such an interval says that nothing is known.
_WIDEST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The file that is being imported."""

    path: Path
    content: bytes
    format: Format
    unit: str | None


def import_file(
    format_name: str,
    path: Path,
    output: Path,
    *,
    device: str | None = None,
    unit: str | None = None,
    stated: Stated | None = None,
) -> tuple[Table, ...]:
    """Read a published file and write its tables, one a device.

    Device, runtime and source are the file's own, or `stated`; nothing else is assumed.

    Args:
        format_name: Name of the format.
        path: The file.
        output: Folder of tables.
        device: Only the table of this device, as the file names it.
        unit: s, ms or us, where the file is not in the format's own unit.
        stated: What the file does not say.

    Raises:
        UsageError: Unknown format, unit or device, an unreadable file, a pickle, or a
            device or runtime that neither the file nor `stated` names.
        TableError: Damaged, cut short, or in another unit.
    """
    if unit is not None and unit not in UNITS_US:
        raise UsageError(f"Unknown --unit {unit!r}.", f"Known: {', '.join(UNITS_US)}.")
    form = find_format(format_name)
    file = _File(path=path, content=_content(path), format=form, unit=unit)
    refuse_content(path, file.content, format_name)
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(str(path), "it is no text") from error
    tables = _chosen(form.read(text, str(path)), device)
    known = [provenance(t, stated or Stated(), form.published, str(path)) for t in tables]
    for table in tables:
        check_units(table, unit or table.value_unit, str(path))
    if tables[0].entries is not None and unit not in (None, tables[0].value_unit):
        raise UsageError(f"{path} is in {tables[0].value_unit}.", "Leave out --unit.")
    return tuple(
        _write(table, facts, file, output) for table, facts in zip(tables, known, strict=True)
    )


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise damaged(str(path), f"it is larger than {LARGEST_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error


def _chosen(tables: Sequence[ForeignTable], device: str | None) -> list[ForeignTable]:
    if device is None:
        return list(tables)
    known = [table.device_name for table in tables if table.device_name is not None]
    if device not in known:
        raise UsageError(
            f"The file names no device {device!r}.",
            f"It names {', '.join(known) or 'none: state it with --device-name'}.",
        )
    return [table for table in tables if table.device_name == device]


def _write(table: ForeignTable, facts: Provenance, file: _File, output: Path) -> Table:
    entries = table.entries
    if entries is None:
        entries = _entries(table, UNITS_US[file.unit or table.value_unit])
    # A board's CPU and its GPU are two tables, not two versions of one.
    marks = "-simulated" if table.simulated else ""
    stem = f"{table.title}-{facts.runtime_slug}{marks}"
    folder, parent = next_version(output, facts.device, stem)
    manifest = Manifest(
        table_id=uuid.uuid4().hex,
        parent_id=parent,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        source="imported",
        title=folder.name,
        kit=kit_info(),
        space=_space_info(table, entries),
        device=facts.device,
        runtime=facts.runtime,
        protocol=Protocol(dtype=table.dtype, threads=None, preset="imported", order=None),
        origin=_origin(table, facts, file),
        context={PREAMBLE: table.preamble} if table.preamble else {},
        notes=_notes(table),
        files_sha256={},
    )
    exam = pd.DataFrame(columns=list(EXAM_COLUMNS))
    return write_table(folder, manifest, entries, _frame(table.rows), exam)


def _notes(table: ForeignTable) -> tuple[str, ...]:
    told = "" if table.entries or table.preamble else "the file does not say its number format"
    words = (f"{told}; rows stand as {table.dtype}" if told else "", *table.notes)
    simulated = ("SIMULATED times: no device was measured",) if table.simulated else ()
    return (*simulated, *(word for word in words if word))


def _origin(table: ForeignTable, facts: Provenance, file: _File) -> Origin:
    unit = file.unit or table.value_unit
    constant = facts.constant
    return Origin(
        format=file.format.name,
        publisher=facts.source,
        source=f"in the form of {file.format.name}",
        file=file.path.name,
        file_sha256=sha256_bytes(file.content),
        value_unit=unit,
        spread_unit=table.spread_unit,
        rows=len(table.rows),
        constant_us=None if constant is None else constant * UNITS_US[unit],
        covered=() if constant is None else tuple(operator.key for operator in table.covered),
    )


def _space_info(table: ForeignTable, entries: Sequence[Entry]) -> SpaceInfo:
    keys = "\n".join(entry.key for entry in entries)
    size = table.space.size if table.space else None
    status = Counter(entry.status for entry in entries)
    return SpaceInfo(
        spec=table.space.spec if table.space else table.title,
        sha256=table.space.sha256 if table.space else hashlib.sha256(keys.encode()).hexdigest(),
        layers=size.layers if size else 0,
        candidates=size.candidates if size else 0,
        operators_expected=len(entries),
        operators_measured=status["ok"],
        operators_unstable=status["unstable"],
        operators_failed=status["failed"],
        operators_missing=0,
        operators_predicted=status["predicted"],
    )


def _entries(table: ForeignTable, unit_us: float) -> tuple[Entry, ...]:
    """One row an operator; several rows of one operator are its repeats."""
    repeats: dict[OperatorSpec, list[ForeignRow]] = {}
    for row in table.rows:
        if row.operator is not None:
            repeats.setdefault(row.operator, []).append(row)
    return tuple(
        _entry(operator, rows, table.spread_unit, unit_us) for operator, rows in repeats.items()
    )


def _entry(
    operator: OperatorSpec, rows: Sequence[ForeignRow], spread_unit: str | None, unit_us: float
) -> Entry:
    centre = statistics.fmean(row.value for row in rows)
    low, high = _interval(rows, centre, spread_unit)
    return Entry(
        key=operator.key,
        status="ok",
        time=Interval(centre_us=centre, low_us=low, high_us=high).scaled(unit_us),
        spread=Spread(mean_us=centre * unit_us),
        sampling=Sampling(blocks=sum(row.count or 1 for row in rows)),
        counts=OperatorCounts.of(operator),
    )


def _interval(
    rows: Sequence[ForeignRow], centre: float, spread_unit: str | None
) -> tuple[float | None, float | None]:
    """The mean's interval by Student's t, from a printed spread or from repeats.

    Taken of logarithms, so that it stays positive. Unknown for a single number.
    """
    row = rows[0]
    if len(rows) > 1:
        relative = statistics.stdev(math.log(row.value) for row in rows)
        number = len(rows)
    elif row.spread is not None and row.count is not None and row.count > 1:
        deviation = math.sqrt(row.spread) if spread_unit == "ms2" else row.spread
        relative, number = deviation / row.value, row.count
    else:
        return None, None
    factor = float(scipy_stats.t.ppf((1 + _LEVEL) / 2, number - 1))
    reach = math.exp(min(factor * relative / math.sqrt(number), _WIDEST))
    return centre / reach, centre * reach


# --- the publisher's rows, kept ---------------------------------------------------


def _frame(rows: Sequence[ForeignRow]) -> pd.DataFrame:
    lines = [
        (
            row.source_key,
            row.role,
            None if row.operator is None else row.operator.key,
            row.count,
            row.value,
            row.spread,
        )
        for row in rows
    ]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"count": "Int64", "value": "float64", "spread": "float64"})


def published_rows(table: Table) -> tuple[ForeignRow, ...]:
    """The rows of an imported table as they were printed.

    Raises:
        TableError: The table was not imported.
    """
    if table.manifest.origin is None:
        raise TableError(
            f"{table.label} was not imported; it has no rows of a publisher.",
            "Export it as csv or once-for-all.",
        )
    samples = table.samples()
    if not {"source_key", "role", "count", "value", "spread"} <= set(samples.columns):
        raise TableError(f"{table.label} holds no rows of its publisher.", AGAIN)
    return tuple(
        ForeignRow(
            source_key=str(line["source_key"]),
            value=float(line["value"]),
            role=line["role"],
            count=None if pd.isna(line["count"]) else int(line["count"]),
            spread=None if pd.isna(line["spread"]) else float(line["spread"]),
        )
        for line in samples.to_dict("records")
    )
