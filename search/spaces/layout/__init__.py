"""Layouts: frames of independent layers, their candidates as words, and their text."""
