"""Published search methods, each a `search.algorithms.base.SearchAlgorithm`."""
