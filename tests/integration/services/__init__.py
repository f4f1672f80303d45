"""Services on PostgreSQL."""
