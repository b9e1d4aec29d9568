"""A folder to ship: the file, its labels, how inputs are prepared, what was measured, samples."""
