"""Comparison of networks across tables and devices."""
