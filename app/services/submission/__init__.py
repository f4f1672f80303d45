"""How a task is made: checks, drafts, batches, idempotent storing, and the hint after the commit."""
