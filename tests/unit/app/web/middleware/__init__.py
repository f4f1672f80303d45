"""Unit tests of app/web/middleware/."""
