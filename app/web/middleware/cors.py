"""CORS: pages of other origins may call the API only where CORS_ORIGINS names them. No cookies are involved."""

from flask import Flask, Response, request

from app.config import Settings, words

METHODS = "GET, POST, PATCH, PUT, DELETE"
REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-ID, Last-Event-ID"
)
ANSWER_HEADERS = (
    "ETag, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-ID, "
    "Idempotent-Replayed"
)
PREFLIGHT_SECONDS = "600"


def register(app: Flask, settings: Settings) -> None:
    """Answer browsers of the configured origins; where there are none, nothing is added."""
    origins = frozenset(words(settings.cors_origins))
    if not origins:
        return

    def preflight() -> Response | None:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if is_preflight and request.headers.get("Origin") in origins else None

    def allow(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = ANSWER_HEADERS
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = METHODS
                response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
                response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
        return response

    app.before_request(preflight)
    app.after_request(allow)
