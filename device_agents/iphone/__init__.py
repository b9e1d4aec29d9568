"""iPhones: found, filled and read by Apple's tool on a Mac, by pymobiledevice3 elsewhere."""
