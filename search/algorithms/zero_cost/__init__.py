"""Scores that need no training."""
