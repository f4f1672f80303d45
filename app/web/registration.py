"""Adding the web floor to an application: what stands before and after each request, in its order."""

from typing import Any

import msgspec
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from app.config import Settings
from app.web import access, current_settings, middleware, oversight, rate_limits, submission, transactions
from app.web.live import event_feed, long_poll, waiting_claims
from app.web.responses import encodings, problems


class CompactJson(DefaultJSONProvider):
    """Answers as they were built: keys in their order, text as UTF-8.

    They are written by msgspec, in a tenth of the time that the json module takes.
    """

    sort_keys = False
    ensure_ascii = False
    compact = True

    def dumps(self, obj: Any, **options: Any) -> str:
        """JSON text; Flask's own answers ask for compact separators, and anything else is left to the json module."""
        is_compact = options.keys() <= {"separators"}
        return msgspec.json.encode(obj).decode() if is_compact else super().dumps(obj, **options)


def register(app: Flask, settings: Settings) -> None:
    """Add to an application what stands before and after each request, in this order."""
    app.json = CompactJson(app)
    app.url_map.strict_slashes = False
    transactions.register(app, settings)
    submission.register(app)
    current_settings.register(app, settings)
    middleware.register(app, settings)
    rate_limits.register(app, settings)
    access.register(app, settings)  # from here on a request has a caller, or has been answered
    oversight.register(app)
    encodings.register(app)
    long_poll.register(app, most=settings.max_waiters)
    waiting_claims.register(app, most=settings.max_waiting_claims)
    event_feed.register(app, settings)
    problems.register(app)
