"""The part of supervisor that the embedded mode uses. The library has no types, and nobody publishes stubs for it.

The embedded mode subclasses two of its classes, which untyped code does not allow under mypy's strict rules.
"""
