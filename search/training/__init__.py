"""The training engine: loop, checkpoints, data parallelism, trace."""
