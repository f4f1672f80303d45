"""PostgreSQL and the API, in this process."""
