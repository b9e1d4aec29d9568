"""The hosts of a farm: the agent of each, and phones that are used through it."""
