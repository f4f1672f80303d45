"""`celery -A proj ledger`: a remote worker that runs the tasks of a Celery application by Celery's tracer and pool."""
