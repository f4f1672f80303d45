"""Tests of the sinks that need nothing."""
