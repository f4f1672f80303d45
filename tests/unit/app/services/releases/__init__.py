"""Unit tests of app/services/dispatch/."""
