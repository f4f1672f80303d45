"""Hints and a real broker."""
