"""Durable handlers: what is remembered of a task's steps, its children, and what follows when something has come."""
