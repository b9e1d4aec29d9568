"""Latency tables: the contract between the profiler that writes them and the search.

table = read_table(Path("tables/<device>/<name>"))
table.lookup(operator).known_time.centre_us
"""

from search.table.entries import Entry, Interval
from search.table.manifest import TABLE_SCHEMA, Manifest
from search.table.store import Table, read_manifest, read_table, write_table

__all__ = [
    "TABLE_SCHEMA",
    "Entry",
    "Interval",
    "Manifest",
    "Table",
    "read_manifest",
    "read_table",
    "write_table",
]
