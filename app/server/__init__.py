"""How gunicorn serves the API: `gunicorn -k app.server.Threads`."""

from app.server.worker import Threads

__all__ = ["Threads"]
