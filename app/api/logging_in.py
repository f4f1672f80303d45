"""Passwords of people, to log in and to change: one way for the API and the dashboard, throttled and recorded alike."""

import math

from flask import request
from werkzeug.exceptions import TooManyRequests

from app.addresses import caller_of
from app.api.auth import current_actor, current_principal, unauthorized
from app.api.transaction import single_statement, transaction
from app.clock import utcnow
from app.errors import Refused
from app.services.accounts import audit, passwords, registration, sessions, users
from app.services.accounts.sessions import LoggedIn

WRONG = "The e-mail address or the password is wrong."


def log_in(email: str, password: str) -> LoggedIn:
    """Check who it is and begin a log-in. Raises TooManyRequests, Unauthorized or Busy."""
    who = {"email": email, "address": caller_of(request.remote_addr)}
    with single_statement() as session:
        candidate = sessions.candidate(session, **who, now=utcnow())
    wait = candidate.wait.total_seconds()
    if wait > 0:
        seconds = math.ceil(wait)
        raise TooManyRequests(
            f"Too many wrong log-ins on this account from your address: try again in {seconds} s.", retry_after=seconds
        )
    # Outside of any transaction: it takes long. With no such account it takes as long.
    is_right = passwords.matches(candidate.password_hash, password)
    with transaction() as session:
        begun = sessions.begin(session, candidate, **who, now=utcnow()) if is_right else None
        subject = candidate.user_id and f"user:{candidate.user_id}"
        if begun is None:
            sessions.refuse(session, **who, now=utcnow())
            audit.record(session, "user.login_failed", current_actor(), now=utcnow(), subject=subject)
        else:
            audit.record(session, "user.logged_in", current_actor(), now=utcnow(), subject=subject)
            return begun
    raise unauthorized(WRONG)


def change_password(current: str, new: str) -> None:
    """Change the caller's password; every log-in of the account ends. Raises Refused or Busy."""
    principal = current_principal()
    address = caller_of(request.remote_addr)
    with single_statement() as session:
        account = users.read(session, principal.user_id)
        candidate = sessions.candidate(session, account.email, address=address, now=utcnow())
    if candidate.wait.total_seconds() > 0 or not passwords.matches(candidate.password_hash, current):
        with transaction() as session:
            sessions.refuse(session, account.email, address=address, now=utcnow())
        raise Refused({"current_password": ["is wrong, or was tried too often in the last minute"]})
    passwords.check_new(new, email=account.email, name=account.name)
    password_hash = passwords.hashed(new)
    with transaction() as session:
        registration.set_password(session, principal.user_id, password_hash, now=utcnow())
        audit.record(session, "user.password_changed", current_actor(), now=utcnow())
