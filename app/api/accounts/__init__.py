"""Accounts over HTTP: log in, keys, users, the audit log."""
