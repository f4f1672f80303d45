"""Tests of app/database that need no database."""
