"""What will be measured, and how long it takes."""
