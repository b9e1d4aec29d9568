"""Published search methods, each behind `search.algorithms.base.Algorithm`."""
