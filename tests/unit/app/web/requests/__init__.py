"""Unit tests of app/web/requests/."""
