"""Search spaces, latency tables and the algorithms that consume them."""
