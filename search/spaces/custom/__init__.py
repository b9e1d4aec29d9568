"""Spaces of one's own: from a file, or from code of another distribution."""
