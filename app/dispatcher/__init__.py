"""The dispatcher: `celery -A tasks beat`. Dispatches what is due, finds lost hints, rescues what is stuck."""
