"""What comes in: bodies, headers and query strings, read and checked."""
