"""Computing: devices and precision, processes, memory, random numbers."""
