"""Latencies of whole networks, predicted from a table."""

from search.latency.model import Estimate, LatencyModel

__all__ = ["Estimate", "LatencyModel"]
