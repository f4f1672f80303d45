"""Headers of answers: those that protect every one, and one that routes tell of."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from app.answer_headers import protected

LOCATION = {"Location": {"description": "Path of what was made", "schema": {"type": "string"}}}
"""For the description of a route that answers 201."""


class SecurityHeaders:
    """WSGI middleware: adds what an answer does not say by itself.

    Around Flask and not in a hook of it: werkzeug's headers are a list, which each question and each change walks.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request with these headers added."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            is_api = environ.get("PATH_INFO", "").startswith("/api/")
            return start_response(
                status, protected(headers, is_api=is_api, is_secure=environ.get("wsgi.url_scheme") == "https"), *error
            )

        return self._inner(environ, start)


def register(app: Flask) -> None:
    """Put the middleware around an application."""
    app.wsgi_app = SecurityHeaders(app.wsgi_app)  # type: ignore[method-assign]  # as Flask documents it
