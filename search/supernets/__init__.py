"""Networks that share weights among candidates."""
