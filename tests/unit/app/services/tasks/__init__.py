"""Unit tests of app/services/tasks/."""
