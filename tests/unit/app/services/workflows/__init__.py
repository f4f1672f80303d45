"""Tests of app/services/workflows."""
