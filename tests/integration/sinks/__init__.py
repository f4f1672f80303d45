"""Sinks in this process, each fed by a test: what they write, and that they write it once."""
