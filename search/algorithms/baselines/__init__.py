"""Random search and evolution over short trainings."""
