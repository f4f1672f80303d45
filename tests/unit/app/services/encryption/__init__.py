"""Unit tests of app/services/encryption/."""
