"""Latencies of whole networks, predicted from a table."""

from search.latency.model import Estimate, LatencyModel
from search.latency.priced_table import PricedTable

__all__ = ["Estimate", "LatencyModel", "PricedTable"]
