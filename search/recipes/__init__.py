"""Hyperparameters as files: one TOML file a recipe, read strictly."""
