"""The embedded mode: every process of Taskledger, with its own PostgreSQL and Valkey, under one supervisor."""
