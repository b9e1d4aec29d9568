"""Published search methods, each behind `search.training.protocol.TrainingMethod`."""
