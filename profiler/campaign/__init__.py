"""Whole runs, from plan to table."""
