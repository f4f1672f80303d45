"""Wrong log-ins: how long one address has to wait before it may try the same account again."""

import hashlib
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import Session
from app.services.accounts import addresses

FREE_FAILURES = 5
MAX_WAIT = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(days=1)
MIN_WAIT = timedelta(milliseconds=100)

_WAIT = f"least(power(2, least(known.failures - {FREE_FAILURES}, 10)), {MAX_WAIT.total_seconds()})"
_READ = sa.text("SELECT failures, last_at FROM login_failures WHERE account = :account AND address = :address")
# One statement, so that of many at once, in whatever process, each waits for the row and sees what the others counted.
_RESERVE = sa.text(f"""INSERT INTO login_failures AS known (account, address, failures, last_at)
    VALUES (:account, :address, 1, :now)
    ON CONFLICT (account, address) DO UPDATE SET last_at = greatest(known.last_at, :now),
        failures = CASE WHEN known.last_at < :forgotten THEN 1 ELSE known.failures + 1 END
    WHERE known.last_at < :forgotten OR known.failures < {FREE_FAILURES}
        OR known.last_at + make_interval(secs => {_WAIT}) <= :now
    RETURNING failures""")
_GIVE_BACK = sa.text(
    "UPDATE login_failures SET failures = greatest(failures - 1, 0) WHERE account = :account AND address = :address"
)
_CLEAR = sa.text("DELETE FROM login_failures WHERE account = :account AND address = :address")
_TIDY = sa.text("""
    DELETE FROM login_failures
    WHERE (account, address) IN (
        SELECT account, address
        FROM login_failures
        WHERE last_at < :forgotten
        ORDER BY last_at
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    )
""")


def wait_after(failures: int) -> timedelta:
    """1 s after the fifth failure in a row, doubling, a minute at most: a person waits, a guesser does not get far."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FREE_FAILURES, 10)), MAX_WAIT)


def reserve(session: Session, email: str, address: str, *, now: datetime) -> timedelta:
    """Count an attempt as a failure before it is checked; how long it has to wait instead, not positive: not at all.

    So of many at once no more are checked than may fail in a row. The account need not exist, so that the answer does
    not tell. Whoever turns out to know the password calls `clear`; who was not checked at all calls `give_back`.
    """
    about = {**_key(email, address), "now": now, "forgotten": now - FORGOTTEN_AFTER}
    if session.execute(_RESERVE, about).first() is not None:
        return timedelta(0)
    row = session.execute(_READ, _key(email, address)).first()
    until = now if row is None else row.last_at + wait_after(row.failures)
    return max(until - now, MIN_WAIT)


def give_back(session: Session, email: str, address: str) -> None:
    """Take back a reservation: the password was not checked."""
    session.execute(_GIVE_BACK, _key(email, address))


def tidy(session: Session, *, now: datetime) -> None:
    """Forget a few of the failures that are long past."""
    session.execute(_TIDY, {"forgotten": now - FORGOTTEN_AFTER})


def clear(session: Session, email: str, address: str) -> None:
    """Forget the failures: this address knew the password."""
    session.execute(_CLEAR, _key(email, address))


def _key(email: str, address: str) -> dict[str, object]:
    return {"account": hashlib.sha256(addresses.known(email).lower().encode()).digest(), "address": address}
