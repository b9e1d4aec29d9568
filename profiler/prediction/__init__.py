"""Rows that were not measured: the operators to measure first, and times for the others."""
