"""Tasks after their submission: read, search, cancel, replay, compensate, purge, and what became of them."""
