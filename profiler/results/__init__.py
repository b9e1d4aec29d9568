"""From a journal to the content of a table."""
