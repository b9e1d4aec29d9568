"""Selection of the best network under a target, without training."""
