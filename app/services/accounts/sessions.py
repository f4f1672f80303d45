"""Log-ins: checking who it is, refresh tokens that rotate, and ending log-ins.

What must be remembered although the request is refused (a failure, a reused token) comes back as a value, because an
exception would roll it back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import RefreshToken, User, new_id
from app.services.accounts import addresses, backoff
from app.services.accounts.secrets import digest, new_refresh_token
from app.services.accounts.tokens import Claims

REFRESH_LIFETIME = timedelta(days=30)
MAX_LOG_IN = timedelta(days=30)

USERS, TOKENS = User.metadata.tables["users"], RefreshToken.metadata.tables["refresh_tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Who a log-in says it is; `user_id` and `password_hash` are None for nobody, and for a closed account."""

    user_id: UUID | None
    password_hash: str | None
    wait: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedIn:
    """A log-in or its continuation: what the access token will say, and the refresh token."""

    claims: Claims
    refresh_token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reused:
    """A refresh token came a second time: one of the two who hold it is a thief, so its family was ended."""

    user_id: UUID
    family: UUID


def candidate(session: Session, email: str, *, address: str, now: datetime) -> Candidate:
    """What is needed to check a password; the check itself takes long and belongs outside of a transaction.

    The attempt is counted as a wrong one here, before it is checked: `begin` or `admit` takes that back. The caller's
    transaction must be committed before the check, or attempts in other processes do not see it.
    """
    wait = backoff.reserve(session, email, address, now=now)
    query = sa.select(USERS.c.id, USERS.c.password_hash).where(addresses.is_of(email), USERS.c.disabled_at.is_(None))
    row = session.execute(query).first()
    return Candidate(user_id=row.id if row else None, password_hash=row.password_hash if row else None, wait=wait)


def refuse(session: Session, *, now: datetime) -> None:
    """What is done about a wrong log-in, which was counted before it was checked."""
    backoff.tidy(session, now=now)


def admit(session: Session, email: str, *, address: str) -> None:
    """Forget what was counted: the password was right."""
    backoff.clear(session, email, address)


def leave_unchecked(session: Session, email: str, *, address: str) -> None:
    """Take back one attempt whose password was not checked."""
    backoff.give_back(session, email, address)


def begin(
    session: Session, who: Candidate, email: str, *, address: str, max_age: timedelta = MAX_LOG_IN, now: datetime
) -> LoggedIn | None:
    """Begin a log-in of somebody whose password was right; None if it was changed, or the account closed, meanwhile.

    It ends after `max_age`, however often it is continued.
    """
    still_right = (USERS.c.id == who.user_id, USERS.c.password_hash == who.password_hash, USERS.c.disabled_at.is_(None))
    updated = sa.update(USERS).where(*still_right).values(last_login_at=now).returning(USERS.c.id)
    user_id = session.scalar(updated)
    if user_id is None:
        return None
    backoff.clear(session, email, address)
    session.execute(sa.delete(TOKENS).where(TOKENS.c.user_id == user_id, TOKENS.c.expires_at <= now))
    return _give_out(session, user_id, family=new_id(), began_at=now, max_age=max_age, now=now)


def rotate(session: Session, token: str, *, max_age: timedelta = MAX_LOG_IN, now: datetime) -> LoggedIn | Reused | None:
    """Replace a refresh token by a new one; None for one that was never given out, has expired or was revoked.

    So is one whose log-in began longer ago than `max_age`.
    """
    known = digest(token)
    _one_at_a_time(session, TOKENS.c.digest == known)
    used = (
        sa.update(TOKENS)
        .where(TOKENS.c.digest == known, TOKENS.c.used_at.is_(None), TOKENS.c.revoked_at.is_(None))
        .where(TOKENS.c.expires_at > now, TOKENS.c.began_at > now - max_age)
        .where(TOKENS.c.user_id == USERS.c.id, USERS.c.disabled_at.is_(None))
        .values(used_at=now)
        .returning(TOKENS.c.user_id, TOKENS.c.family, TOKENS.c.began_at)
    )
    row = session.execute(used).first()
    if row is not None:
        return _give_out(session, row.user_id, family=row.family, began_at=row.began_at, max_age=max_age, now=now)
    query = sa.select(TOKENS.c.user_id, TOKENS.c.family).where(TOKENS.c.digest == known, TOKENS.c.used_at.is_not(None))
    again = session.execute(query).first()
    if again is None:
        return None
    end_family(session, again.family, now=now)
    return Reused(user_id=again.user_id, family=again.family)


def family_of(session: Session, token: str) -> UUID | None:
    """The log-in that a refresh token belongs to."""
    family: UUID | None = session.scalar(sa.select(TOKENS.c.family).where(TOKENS.c.digest == digest(token)))
    return family


def end_family(session: Session, family: UUID, *, now: datetime) -> None:
    """End one log-in: its refresh token and its access tokens are refused from now on."""
    _one_at_a_time(session, TOKENS.c.family == family)
    mine = (TOKENS.c.family == family, TOKENS.c.revoked_at.is_(None))
    session.execute(sa.update(TOKENS).where(*mine).values(revoked_at=now))


def end_all(session: Session, user_id: UUID, *, now: datetime) -> None:
    """End every log-in of an account, and every access token that was given out. API keys stay."""
    session.execute(
        sa.update(USERS).where(USERS.c.id == user_id).values(token_version=USERS.c.token_version + 1, updated_at=now)
    )
    mine = (TOKENS.c.user_id == user_id, TOKENS.c.revoked_at.is_(None))
    session.execute(sa.update(TOKENS).where(*mine).values(revoked_at=now))


def _one_at_a_time(session: Session, which: sa.ColumnElement[bool]) -> None:
    """Lock the account of these tokens, as end_all does by changing it.

    Whoever revokes tokens does not see the one that a rotation under way is about to add: it would live on, and with it
    the log-in that was to end.
    """
    theirs = sa.select(TOKENS.c.user_id).where(which).limit(1).scalar_subquery()
    session.execute(sa.select(USERS.c.id).where(USERS.c.id == theirs).with_for_update(key_share=True))


def _give_out(
    session: Session, user_id: UUID, *, family: UUID, began_at: datetime, max_age: timedelta, now: datetime
) -> LoggedIn:
    token = new_refresh_token()
    row = {
        "id": new_id(),
        "family": family,
        "user_id": user_id,
        "digest": digest(token),
        "created_at": now,
        "began_at": began_at,
        "expires_at": min(now + REFRESH_LIFETIME, began_at + max_age),
    }
    session.execute(sa.insert(TOKENS).values(row))
    version = session.scalar(sa.select(USERS.c.token_version).where(USERS.c.id == user_id))
    claims = Claims(user_id=user_id, version=version or 0, family=family)
    return LoggedIn(claims=claims, refresh_token=token)
