"""What a recipe can add to the training of a network."""
