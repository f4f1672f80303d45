"""Who looks at the dashboard: from the session cookie to the same principal that the API knows."""

from typing import Any
from uuid import UUID

from flask import g, redirect, request, session, url_for
from werkzeug.exceptions import HTTPException, Unauthorized

from app.clock import utcnow
from app.dashboard import csrf
from app.dashboard.sessions import LIVE_HEADER
from app.services.accounts import identification
from app.services.accounts.principals import Principal
from app.services.accounts.tokens import Claims
from app.web.access import Access
from app.web.current_settings import current_settings
from app.web.transactions import transaction


class LogInFirst(HTTPException):
    """The answer to who is not logged in: the log-in page, which leads back."""

    def __init__(self) -> None:
        back = request.full_path.rstrip("?") if request.method == "GET" else None
        super().__init__(response=redirect(url_for("dashboard.log_in", next=None if back == "/" else back)))


def begin(claims: Claims) -> None:
    """Start the session of somebody who has logged in; nothing of the one before is kept."""
    session.clear()
    session.permanent = True
    session["who"] = {"user": str(claims.user_id), "version": claims.version, "family": str(claims.family)}


def claims() -> Claims | None:
    """What the cookie says; the account decides whether it still holds."""
    said: dict[str, Any] | None = session.get("who")
    if said is None:
        return None
    return Claims(user_id=UUID(said["user"]), version=said["version"], family=UUID(said["family"]))


def principal() -> Principal | None:
    """Whoever is logged in; None when nobody is, or the log-in was ended, the account closed, its role changed."""
    said = claims()
    if said is None:
        return None
    with transaction(autocommit=True) as database:
        return identification.by_claims(database, said, now=utcnow(), outside=current_settings().lets_new_accounts_out)


def identify(_kind: Access) -> Principal:
    """The caller of a page, for the gate of app/web/access.py. Raises LogInFirst, Unauthorized or Forbidden."""
    found = principal()
    if found is None:
        if LIVE_HEADER in request.headers:
            raise Unauthorized("The log-in has ended.")
        raise LogInFirst
    g.principal = found  # so that a refused form is answered with a whole page
    csrf.check()
    return found
