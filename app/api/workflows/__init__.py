"""Workflows over HTTP: their definitions and their runs."""
