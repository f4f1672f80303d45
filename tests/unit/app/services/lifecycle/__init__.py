"""Unit tests of app/services/lifecycle/."""
