"""Weights in files: the kit's layout, those of public libraries, and what makes a file unfit."""
