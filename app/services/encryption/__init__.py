"""Payloads and results of sensitive types: encrypted, opened, and moved to a new key."""
