"""Queues over HTTP: figures, pauses, purges, and limits of admission."""
