"""iPhones, driven by Apple's tool on a Mac and by pymobiledevice3 elsewhere."""
