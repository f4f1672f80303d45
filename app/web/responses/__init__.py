"""What goes out: problems, headers, and what of a sensitive task is shown."""
