"""Passwords of people, to log in and to change: one way for the API and the dashboard, throttled and recorded alike."""

import math

from flask import request
from werkzeug.exceptions import TooManyRequests

from app.addresses import caller_of
from app.clock import utcnow
from app.database import Session
from app.errors import Refused
from app.services.accounts import audit, password_reset, passwords, registration, sessions, users
from app.services.accounts.sessions import Candidate, LoggedIn
from app.web.access import current_actor, current_principal, unauthorized
from app.web.current_settings import current_settings, signing_keys
from app.web.transactions import transaction

WRONG = "The e-mail address or the password is wrong."


def log_in(email: str, password: str) -> LoggedIn:
    """Check who it is and begin a log-in. Raises TooManyRequests, Unauthorized or TooManyChecks."""
    who = {"email": email, "address": caller_of(request.remote_addr)}
    with transaction() as session:  # the attempt is counted before it is checked, and other processes see that
        candidate = sessions.candidate(session, **who, now=utcnow())
    wait = candidate.wait.total_seconds()
    if wait > 0:
        seconds = math.ceil(wait)
        raise TooManyRequests(
            f"Too many wrong log-ins on this account from your address: try again in {seconds} s.", retry_after=seconds
        )
    # Outside of any transaction: it takes long. With no such account it takes as long.
    is_right = _is_right(candidate, password, **who)
    with transaction() as session:
        max_age = current_settings().max_log_in
        begun = sessions.begin(session, candidate, **who, max_age=max_age, now=utcnow()) if is_right else None
        subject = None if candidate.user_id is None else f"user:{candidate.user_id}"
        if begun is None:
            sessions.refuse(session, now=utcnow())
            tried = audit.digest_of(email, secret_key=current_settings().secret_key)
            actor = current_actor()
            audit.record(session, "user.login_failed", actor, now=utcnow(), subject=subject, email_digest=tried)
        else:
            audit.record(session, "user.logged_in", current_actor(), now=utcnow(), subject=subject)
            return begun
    raise unauthorized(WRONG)


def _is_right(candidate: Candidate, password: str, *, email: str, address: str) -> bool:
    """Whether it is the password. Raises TooManyChecks; then the attempt is not held against anybody."""
    try:
        return passwords.matches(candidate.password_hash, password)
    except passwords.TooManyChecks:
        with transaction() as session:
            sessions.leave_unchecked(session, email, address=address)
        raise


def change_password(current: str, new: str) -> None:
    """Change the caller's password; every log-in of the account ends. Raises Refused or TooManyChecks."""
    principal = current_principal()
    address = caller_of(request.remote_addr)
    with transaction() as session:
        account = users.read(session, principal.user_id)
        candidate = sessions.candidate(session, account.email, address=address, now=utcnow())
    is_waiting = candidate.wait.total_seconds() > 0
    if is_waiting or not _is_right(candidate, current, email=account.email, address=address):
        raise Refused({"current_password": ["is wrong, or was tried too often in the last minute"]})
    with transaction() as session:
        sessions.admit(session, account.email, address=address)
    passwords.check_new(new, email=account.email, name=account.name)
    password_hash = passwords.hashed(new)
    with transaction() as session:
        registration.set_password(session, principal.user_id, password_hash, now=utcnow())
        audit.record(session, "user.password_changed", current_actor(), now=utcnow())


def reset_password(code: str, new: str) -> None:
    """Set a password by a code of `admin reset-password`; every log-in of the account ends.

    Raises Refused or TooManyChecks.
    """
    reset = password_reset.read(code, keys=signing_keys(), now=utcnow())
    with transaction() as session:
        _check_still_wanted(session, reset)
        account = users.read(session, reset.user_id)
    passwords.check_new(new, email=account.email, name=account.name)
    password_hash = passwords.hashed(new)  # takes long, and so outside of a transaction
    with transaction() as session:
        _check_still_wanted(session, reset)
        registration.set_password(session, reset.user_id, password_hash, now=utcnow())
        sessions.admit(session, account.email, address=caller_of(request.remote_addr))
        subject = f"user:{reset.user_id}"
        audit.record(session, "user.password_reset", current_actor(), now=utcnow(), subject=subject)


def _check_still_wanted(session: Session, reset: password_reset.Wanted) -> None:
    current = users.password_hash(session, reset.user_id)
    if current is None or password_reset.fingerprint(current) != reset.fingerprint:
        raise password_reset.refused()
