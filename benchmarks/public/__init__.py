"""Public Celery projects as they are: how their tasks are called, and the workers that run them."""
