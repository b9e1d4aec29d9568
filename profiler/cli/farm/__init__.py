"""A farm of phones on the command line."""
