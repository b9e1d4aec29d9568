"""Core ML's intermediate language: read, checked and evaluated without Core ML."""
