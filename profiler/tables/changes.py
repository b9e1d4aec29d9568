"""After a campaign: what a new version of a table changed."""

import sys
from pathlib import Path

from search.errors import KitError
from search.table.manifest import Manifest
from search.table.store import MANIFEST, Table, read_manifest, read_table


def say_changes(table: Table) -> None:
    """Print the difference to the parent on standard error; nothing without one."""
    parent = parent_of(table)
    if parent is None:
        return
    from profiler.tables.diff import compare_tables

    try:
        difference = compare_tables(read_table(parent), table)
    except KitError as error:
        print(f"not compared with {parent.name}: {error.message}", file=sys.stderr)
        return
    print(
        f"since {parent.name}: {len(difference.regressions)} operator(s) slower, "
        f"{len(difference.improvements)} faster of {len(difference.changes)}; all together "
        f"{difference.common_change:+.2%}, absolute difference median "
        f"{difference.median_absolute:.2%}, 95th percentile {difference.p95_absolute:.2%} "
        f"(more: python -m profiler diff {parent} {table.path})",
        file=sys.stderr,
    )


def parent_of(table: Table) -> Path | None:
    """Where the version lies that a table names as its parent."""
    wanted = table.manifest.parent_id
    if wanted is None or table.path is None:
        return None
    for path in sorted(table.path.parent.glob(f"*/{MANIFEST}")):
        try:
            manifest: Manifest = read_manifest(path.parent)
        except KitError:
            continue
        if manifest.table_id == wanted:
            return path.parent
    return None
