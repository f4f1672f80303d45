"""Rows for other programs: tasks, events, CSV cells."""
