"""Labelled images for search, training and evaluation."""
