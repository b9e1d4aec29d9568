"""Operators: what is timed and built. One block, or a fixed part of a network."""
