"""The device's side of `deploy`."""
