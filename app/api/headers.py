"""Security headers of every answer."""

from flask import Flask, Response, request

# JSON is never a document that runs anything; pages (Swagger UI, the dashboard) bring a policy of their own.
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)
HSTS = "max-age=31536000; includeSubDomains"


def protect(response: Response) -> Response:
    """Add what is not said already."""
    for name, value in ALWAYS:
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", NOTHING)
    if request.path.startswith("/api/"):
        # Answers belong to one caller: no cache on the way keeps them; a client may, and asks with If-None-Match.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.vary.add("Authorization")
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def register(app: Flask) -> None:
    """Do so for every answer of an application."""
    app.after_request(protect)
