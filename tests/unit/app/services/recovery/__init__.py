"""Unit tests of app/services/recovery/."""
