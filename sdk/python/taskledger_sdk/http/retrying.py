"""Which requests are sent again after a failure, and how long before. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

TRIES = 4
FIRST_PAUSE = 0.25
"""Seconds before the second try; each further pause is twice as long, less a random part of up to a half."""
LONGEST_BACKOFF = 5.0
"""Seconds at most between two tries, where the service does not say how long to wait."""
LONGEST_PAUSE = 20.0
"""Who is told to wait longer than these seconds is told so, instead of being kept waiting."""
SAFE_METHODS = frozenset(("GET", "HEAD", "PUT"))
PASSING_STATUSES = frozenset((429, 502, 503, 504))
TOO_MANY = 429


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a request is tried again."""

    tries: int | None = TRIES
    """At most so many; None: as many as the time allows."""
    seconds: float | None = None
    """From the first try, all pauses included, until the last one begins; None: only the tries count."""
    waits_for_room: bool = True
    """Whether a quota that is reached is waited for as a rate limit is."""


PATIENCE = Patience()


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """How a try failed: with an answer of this status, or without one."""

    status: int | None = None
    retry_after: float | None = None
    was_sent: bool = True
    """Whether the service may have carried the request out."""


def is_repeatable(method: str, *, has_idempotency_key: bool) -> bool:
    """Whether a request does the same when it is carried out twice."""
    return method in SAFE_METHODS or has_idempotency_key


def pause_before_next(
    failure: Failure,
    *,
    tries_made: int,
    repeatable: bool,
    random: Callable[[], float],
    patience: Patience = PATIENCE,
    passed: float = 0.0,
) -> float | None:
    """Seconds after which the request is sent again; None: it is not.

    `random` gives numbers from 0 to 1, so that clients that failed together do not come back together. `passed`:
    seconds since the first try began.
    """
    if patience.tries is not None and tries_made >= patience.tries:
        return None
    if failure.status is not None and failure.status not in PASSING_STATUSES:
        return None
    if not (repeatable or not failure.was_sent or failure.status == TOO_MANY):
        return None
    pause: float = min(FIRST_PAUSE * 2 ** (tries_made - 1), LONGEST_BACKOFF) * (1 - random() / 2)
    if failure.retry_after is not None:
        if failure.retry_after > LONGEST_PAUSE:
            return None
        pause += failure.retry_after
    return None if patience.seconds is not None and passed + pause > patience.seconds else pause
