"""Unit tests of app/services/measuring/."""
