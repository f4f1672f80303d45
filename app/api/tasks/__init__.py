"""Tasks over HTTP: submit, read, change, act on, and ask why."""
