"""Duties on PostgreSQL, with a broker that does what a test says."""
