"""Compressed requests: they are refused by name, because nothing here opens them."""

from flask import Flask, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wrappers import Response

PLAIN = frozenset({"", "identity"})


class CompressedBody(UnsupportedMediaType):
    """415, with the header that says which encoding would do (RFC 9110, 15.5.16)."""

    def get_headers(self, *arguments: object, **options: object) -> list[tuple[str, str]]:
        """Those of the answer."""
        return [*super().get_headers(), ("Accept-Encoding", "identity")]


def check() -> Response | None:
    """Raises UnsupportedMediaType for a body in a Content-Encoding."""
    encodings = [each.strip().lower() for each in request.headers.get("Content-Encoding", "").split(",")]
    has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
    if has_body and not PLAIN.issuperset(encodings):
        names = ", ".join(each for each in encodings if each not in PLAIN)[:40]
        raise CompressedBody(f"The body is sent as Content-Encoding: {names}; send it as it is, without that header.")
    return None


def register(app: Flask) -> None:
    """Look at every request, before anything reads its body."""
    app.before_request(check)
