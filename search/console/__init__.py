"""Shared parts of all command lines."""
