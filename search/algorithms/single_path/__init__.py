"""Single-Path NAS: one superkernel, cut by trained thresholds."""
