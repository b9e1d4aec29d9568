"""Makes the runtime for a phone or for this machine from ExecuTorch's published wheels."""
