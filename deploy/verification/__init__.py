"""Comparison of a deployed network with torch, its clock and a table."""
