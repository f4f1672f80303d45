"""SQL as an interface: what a person in psql or DBeaver may do, sees, and is refused."""
