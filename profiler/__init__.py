"""The conductor: plan, export, run, judge, write the table, examine it."""

__version__ = "0.1.0"
