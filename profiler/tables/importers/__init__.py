"""Latency tables that others published: read, checked, and written back unchanged."""
