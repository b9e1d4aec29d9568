"""Latency tables: the contract between the profiler that writes them and the search."""

from search.table.entries import Entry
from search.table.manifest import Manifest
from search.table.store import Table, read_table, write_table

__all__ = ["Entry", "Manifest", "Table", "read_table", "write_table"]
