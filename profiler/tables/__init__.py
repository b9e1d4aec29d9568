"""Work on finished tables."""
