"""From options to files: the work of each command."""
