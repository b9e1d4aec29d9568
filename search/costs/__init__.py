"""Costs of a network as sums over its choices, in any unit."""
