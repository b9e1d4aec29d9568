"""Models of your own: read safely, exported where they are not, held against their source."""
