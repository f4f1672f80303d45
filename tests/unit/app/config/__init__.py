"""Unit tests of app/web/."""
