"""The pure parts of the NATS transport."""
