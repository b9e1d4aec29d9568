"""Core ML programs, read, checked and evaluated without Core ML."""
