"""A farm over Ray: its processes, its actors, and the transport that commands use."""
