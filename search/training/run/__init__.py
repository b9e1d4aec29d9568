"""A training run: its checkpoints, trace and plot, and how it is interrupted."""
