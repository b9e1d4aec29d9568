"""Command lines of the search: parse, call, print."""
