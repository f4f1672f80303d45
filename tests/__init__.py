"""The tests: unit (no input or output), integration (PostgreSQL), acceptance (real brokers and processes)."""
