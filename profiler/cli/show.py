"""Tables for people: what `show` and the end of a campaign print."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table as RichTable

from profiler.planning.estimate import Coverage
from profiler.tables.summary import summary
from search.console.output import console, to_csv, to_json
from search.operators.words import short_name
from search.table.columns import entries_to_csv, row_of
from search.table.entries import Entry
from search.table.store import Table


def show_table(
    table: Table, form: str, top: int | None, pattern: str | None, keys: bool = False
) -> None:
    """Print one table; `pattern` is looked for in keys and in their short words."""
    entries = [
        entry
        for entry in table.entries
        if pattern is None or pattern in entry.key or pattern in short_name(entry.key)
    ]
    if form == "json":
        content = {
            "manifest": table.manifest.model_dump(mode="json"),
            "entries": [row_of(entry) for entry in entries],
        }
        print(to_json(content))
    elif form == "csv":
        print(entries_to_csv(entries), end="")
    else:
        _show_for_people(table, entries, top, keys)


def _show_for_people(table: Table, entries: Sequence[Entry], top: int | None, keys: bool) -> None:
    out = console()
    for line in summary(table):
        out.print(line)
    rows = sorted(entries, key=lambda entry: -entry.time.centre_us if entry.time else 0)[:top]
    grid = RichTable(title=None, box=None, pad_edge=False)
    grid.add_column("operator", overflow="fold", no_wrap=keys)
    for name in ("us", "+-%", "first us", "blocks"):
        grid.add_column(name, justify="right")
    grid.add_column("status")
    for entry in rows:
        name = entry.key if keys else short_name(entry.key)
        grid.add_row(name, *_cells(entry))
    out.print(grid)
    if len(rows) < len(entries):
        guessed = sum(entry.status == "predicted" for entry in entries)
        kinds = f", {len(entries) - guessed} measured and {guessed} predicted" if guessed else ""
        out.print(f"({len(rows)} slowest of {len(entries)} rows{kinds}; --all shows every one)")


def _cells(entry: Entry) -> tuple[str, ...]:
    if entry.time is None:
        return "-", "-", "-", "0", f"failed: {entry.reason}"
    first = f"{entry.first_call.centre_us:.1f}" if entry.first_call else "-"
    half = f"{100 * entry.relative_half_width:.1f}" if entry.has_interval else "-"
    return f"{entry.time.centre_us:.1f}", half, first, str(entry.sampling.blocks), entry.status


def show_coverage(coverage: Coverage, form: str) -> None:
    """Print what a campaign would do."""
    if form == "json":
        print(to_json(asdict(coverage)))
        return
    if form == "csv":
        print(to_csv([asdict(coverage)]), end="")
        return
    out = console()
    out.print(f"space             {coverage.space}")
    out.print(f"layers            {coverage.layers}")
    out.print(f"candidates        {coverage.candidates}")
    out.print(f"networks          {coverage.networks:.3g}")
    out.print(
        f"unique operators  {coverage.unique_operators} and {coverage.published_operators} of "
        f"published networks ({coverage.selected_operators} asked)"
    )
    if coverage.predicted_operators:
        out.print(f"to be predicted   {coverage.predicted_operators}")
    out.print(f"already measured  {coverage.measured}")
    out.print(f"missing           {coverage.missing}")
    out.print(f"whole networks    {coverage.whole_networks} for calibration and exam")
    out.print(f"artefacts         {coverage.built} built, {coverage.to_build} to build")
    out.print(f"estimated time    {coverage.estimated_seconds:.0f} s")
