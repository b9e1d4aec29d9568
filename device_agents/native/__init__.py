"""The native runner of this machine."""
