"""A Celery application that runs under Celery's own worker and under ours, and what both are seen to do."""
