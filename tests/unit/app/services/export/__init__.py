"""Unit tests of app/services/export/."""
