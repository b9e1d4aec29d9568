"""Search spaces: which operators may stand in which layer."""
