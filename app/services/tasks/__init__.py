"""Tasks after their submission: read, search, cancel, replay, undo, purge, and what became of them."""
