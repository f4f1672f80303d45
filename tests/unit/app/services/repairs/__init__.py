"""Unit tests of app/services/repairs/."""
