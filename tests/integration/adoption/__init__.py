"""Calls, canvases and transactions of adopted Celery applications, against a service in this process."""
