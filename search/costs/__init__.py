"""Costs of networks as sums over their choices, in any unit."""
