"""Wrong log-ins: how long one address has to wait before it may try the same account again."""

import hashlib
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.services.accounts import addresses

FREE_FAILURES = 5
LONGEST_WAIT = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(days=1)

_READ = sa.text("SELECT failures, last_at FROM login_failures WHERE account = :account AND address = :address")
_COUNT = sa.text(
    "INSERT INTO login_failures (account, address, failures, last_at) VALUES (:account, :address, 1, :now) "
    "ON CONFLICT (account, address) DO UPDATE SET last_at = :now, "
    "failures = CASE WHEN login_failures.last_at < :forgotten THEN 1 ELSE login_failures.failures + 1 END"
)
_CLEAR = sa.text("DELETE FROM login_failures WHERE account = :account AND address = :address")
_TIDY = sa.text(
    "DELETE FROM login_failures WHERE (account, address) IN (SELECT account, address FROM login_failures "
    "WHERE last_at < :forgotten ORDER BY last_at LIMIT 100 FOR UPDATE SKIP LOCKED)"
)


def wait_after(failures: int) -> timedelta:
    """1 s after the fifth failure in a row, doubling, a minute at most: a person waits, a guesser does not get far."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FREE_FAILURES, 10)), LONGEST_WAIT)


def waiting(session: Session, email: str, address: str, *, now: datetime) -> timedelta:
    """How long this address has to wait before it may try this account again; not positive: not at all."""
    row = session.execute(_READ, _key(email, address)).first()
    if row is None or row.last_at < now - FORGOTTEN_AFTER:
        return timedelta(0)
    until: datetime = row.last_at + wait_after(row.failures)
    return until - now


def count(session: Session, email: str, address: str, *, now: datetime) -> None:
    """Count a failure; the account need not exist, so that the answer does not tell."""
    forgotten = now - FORGOTTEN_AFTER
    session.execute(_COUNT, {**_key(email, address), "now": now, "forgotten": forgotten})
    session.execute(_TIDY, {"forgotten": forgotten})


def clear(session: Session, email: str, address: str) -> None:
    """Forget the failures: this address knew the password."""
    session.execute(_CLEAR, _key(email, address))


def _key(email: str, address: str) -> dict[str, object]:
    return {"account": hashlib.sha256(addresses.known(email).lower().encode()).digest(), "address": address}
