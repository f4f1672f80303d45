"""Payloads and results of sensitive types: encrypted, decrypted, and moved to a new key."""
