"""Unit tests of app/web/responses/."""
