"""A device under load for minutes: networks timed in it, and campaigns of that state."""
