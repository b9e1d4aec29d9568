"""Work on given networks: their classes, all of a folder trained, one judged."""
