"""Sinks: consumers of the events. Each takes every event once, in order, whatever the broker loses or repeats."""
