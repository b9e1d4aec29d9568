"""Targets and limits as typed, read into problems: one limit, several at once, several in turn."""
