"""Rows that nobody measured: which operators to measure, and what the others then take."""
