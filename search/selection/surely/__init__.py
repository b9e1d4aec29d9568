"""Selection under a latency that is met with a given probability."""
