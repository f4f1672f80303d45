"""Accounts: who may do what, and how much. One small module a concern."""
