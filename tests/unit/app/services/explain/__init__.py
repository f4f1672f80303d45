"""Unit tests of app/services/explain/."""
