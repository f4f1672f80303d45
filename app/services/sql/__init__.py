"""SQL as an interface, seen from the service: what the database must know, and which of its roles may do what."""
