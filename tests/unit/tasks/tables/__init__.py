"""Tests of tasks.tables."""
