"""Plans of campaigns: what is measured, and how long it takes."""
