"""Verification of deployed networks on a device: `deploy`'s `DeviceVerifier`."""
