"""Journeys of users, driven end to end on demand."""
