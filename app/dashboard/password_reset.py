"""A new password in place of a forgotten one, by a code that an admin has made on the command line."""

from typing import Any

from flask import flash, redirect, render_template, request, session, url_for

from app.dashboard import csrf
from app.dashboard.blueprint import blueprint
from app.errors import Refused
from app.web import passwords, rate_limits
from app.web.access import Access, access
from app.web.responses.forgetting import have_browser_forget

LONGEST = 1000


@blueprint.get("/reset-password")
@access(Access.OPEN)
def ask_for_new_password() -> str:
    """The form. The code is typed into it: in an address it would get into logs and histories."""
    return render_template("dashboard/reset_password.html", fault=None, code="")


@blueprint.post("/reset-password")
@access(Access.OPEN)
def reset_password() -> Any:
    """Set the password; every log-in of the account ends."""
    csrf.check()
    rate_limits.count_auth()
    code, new = (request.form.get(name, "")[:LONGEST].replace("\0", "") for name in ("code", "new_password"))
    try:
        passwords.reset_password(code, new)
    except Refused as error:
        return render_template("dashboard/reset_password.html", fault=str(error), code=code), 422
    session.clear()
    have_browser_forget()
    flash("The password is set and every log-in has ended: log in with it.")
    return redirect(url_for("dashboard.log_in"))
