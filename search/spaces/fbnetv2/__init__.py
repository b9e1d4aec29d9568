"""FBNetV2's search spaces."""
