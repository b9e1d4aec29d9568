"""Devices and the agents that run artefacts on them."""
