"""Pages, over PostgreSQL, without a browser."""
