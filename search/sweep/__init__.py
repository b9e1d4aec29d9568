"""Many searches as one: a grid of settings and seeds, its table and its front."""
