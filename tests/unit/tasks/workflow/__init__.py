"""Tests of tasks/workflow."""
