"""How what is due becomes a hint: what is ready, priorities, pauses, and the workers that may take it."""
