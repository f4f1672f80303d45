"""The session cookie: signed, for the dashboard's paths only, and no proof by itself (access.py asks the ledger)."""

import hashlib
from datetime import timedelta
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from app.config import Settings

IDLE = timedelta(hours=12)
"""A log-in that is not used for so long is over; one that is used lasts as long as its refresh token, 30 days."""
ELSEWHERE = ("/api/", "/health/", "/metrics", "/openapi.json", "/docs", "/assets/")
LIVE_HEADER = "X-Live"
"""Sent by pages that keep themselves up to date: that nobody closed a tab is no use of a session."""


class DashboardSessions(SecureCookieSessionInterface):
    """Flask's signed cookies for pages; callers of the API are known by tokens, and pay nothing for cookies."""

    salt = "dashboard.session"
    digest_method = staticmethod(hashlib.sha256)  # Flask's own is SHA-1
    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session that the cookie holds, an empty one without a cookie, None outside of the dashboard."""
        return None if request.path.startswith(ELSEWHERE) else super().open_session(app, request)

    def make_null_session(self, app: Flask) -> NullSession:
        """One for all: nobody writes into it."""
        return self._none

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write the cookie, unless nobody did anything."""
        from flask import request

        if LIVE_HEADER in request.headers and not session.modified:
            return
        super().save_session(app, session, response)


def register(app: Flask, settings: Settings) -> None:
    """Give an application sessions."""
    is_production = settings.app_env == "production"
    options: dict[str, Any] = {
        # With this prefix, browsers refuse the cookie unless it is Secure and this host's alone.
        "SESSION_COOKIE_NAME": "__Host-taskledger" if is_production else "taskledger",
        "SESSION_COOKIE_SECURE": is_production,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PATH": "/",
        "PERMANENT_SESSION_LIFETIME": IDLE,
    }
    app.config.update(options)
    app.session_interface = DashboardSessions()
