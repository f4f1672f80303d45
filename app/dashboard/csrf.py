"""Forms come from our own pages only: each holds a token of the session, and the browser says where it comes from."""

import hmac
import secrets

from flask import request, session
from werkzeug.exceptions import Forbidden

FIELD = "csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OURS = frozenset({"same-origin", "none"})


def token() -> str:
    """The token of this session, made when the first form asks for it."""
    if FIELD not in session:
        session[FIELD] = secrets.token_urlsafe(32)
    return str(session[FIELD])


def check() -> None:
    """Raises Forbidden for a changing request that does not come from a form of this session."""
    if request.method in SAFE:
        return
    known, sent = session.get(FIELD), request.form.get(FIELD, "")
    is_known = known is not None and hmac.compare_digest(str(known).encode(), sent.encode())
    if not is_known or not _is_from_here():
        raise Forbidden("The form is not from this session: it may be old, so open the page again and repeat it.")


def _is_from_here() -> bool:
    """Whether the browser, where it says so, says that the form was one of ours."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in OURS:
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
