"""XNNPACK programs written straight from a torch module, as ExecuTorch would lower it."""
