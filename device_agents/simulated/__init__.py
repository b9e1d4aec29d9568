"""A simulated device with a known truth."""
