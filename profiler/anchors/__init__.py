"""A table's machine, now and when the table was made."""
