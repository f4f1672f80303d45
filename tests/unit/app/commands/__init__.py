"""Commands: what they do without a server."""
