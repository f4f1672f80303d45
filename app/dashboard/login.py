"""Logging in and out."""

from typing import Any

from flask import flash, redirect, render_template, request, session, url_for
from werkzeug.exceptions import TooManyRequests, Unauthorized
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard import csrf
from app.dashboard.access import begin, claims, principal
from app.dashboard.blueprint import blueprint
from app.services.accounts import audit, sessions
from app.web import passwords, rate_limits
from app.web.access import Access, access, current_actor
from app.web.current_settings import current_settings
from app.web.responses.forgetting import have_browser_forget
from app.web.transactions import transaction

LONGEST = 1000


@blueprint.get("/login")
@access(Access.OPEN)
def log_in() -> str | Response:
    """The form; who is logged in already goes on."""
    if principal() is not None:
        return redirect(_next())
    return _form()


@blueprint.post("/login")
@access(Access.OPEN)
def begin_session() -> Any:
    """Check the password and begin a session."""
    csrf.check()
    rate_limits.count_auth()
    email, password = (request.form.get(name, "")[:LONGEST].replace("\0", "") for name in ("email", "password"))
    try:
        begun = passwords.log_in(email.strip(), password)
    except Unauthorized as error:
        return _form(fault=error.description, email=email), 401
    except TooManyRequests as error:
        return _form(fault=error.description, email=email), 429
    begin(begun.claims)
    return redirect(_next())


@blueprint.post("/logout")
@access(Access.OPEN)
def log_out() -> Response:
    """End the session, here and in the ledger."""
    csrf.check()
    said = claims()
    if said is not None:
        with transaction() as database:
            sessions.end_family(database, said.family, now=utcnow())
            audit.record(database, "user.logged_out", current_actor(), now=utcnow(), subject=f"user:{said.user_id}")
    session.clear()
    have_browser_forget()
    flash("You are logged out.")
    return redirect(url_for("dashboard.log_in"))


def _form(*, fault: str | None = None, email: str = "") -> str:
    is_open = current_settings().registration == "open"
    return render_template("dashboard/login.html", fault=fault, email=email, next=_next(), is_registration_open=is_open)


def _next() -> str:
    """Where to go afterwards: a path of ours, whatever the link says."""
    wanted = request.values.get("next", "/")
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_path and wanted.isprintable() else "/"  # browsers drop tabs: "/\t/host" would be "//host"
