"""Command lines of the profiler: parse, call, print."""
