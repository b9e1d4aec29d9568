"""A run as a page: its curves, candidates and network, while it goes on and afterwards."""
