"""Operators timed as chains of copies."""
