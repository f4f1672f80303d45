"""Tests of task types against real peers."""
