"""FP-NAS's search spaces."""
