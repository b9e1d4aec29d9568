"""Exporters: an operator or an architecture becomes a file for one runtime."""
