"""Statistics of samples, without input or output."""
