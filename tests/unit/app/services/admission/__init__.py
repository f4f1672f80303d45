"""Whose turn it is, and what the limits leave room for."""
