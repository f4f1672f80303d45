"""Hints without a broker."""
