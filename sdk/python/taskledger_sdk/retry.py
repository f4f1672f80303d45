"""When a failed attempt is tried again: the policy of a type, and the one decision made from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from taskledger_sdk.errors import AskedToWait, BadDeclaration, PermanentError, RetryLater


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """At most `max_retries` attempts after the first, each later than the one before, up to `cap_seconds`.

    `jitter` is the share of each pause that is drawn at random: with 1 a pause is anything from nothing up to its
    ceiling, with 0.5 it is at least half of it, with 0 it is the ceiling itself.
    """

    max_retries: int = 3
    base_seconds: float = 2.0
    factor: float = 2.0
    cap_seconds: float = 600.0
    jitter: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_retries <= 100:
            raise BadDeclaration(f"RetryPolicy(max_retries={self.max_retries}): give 0 to 100")
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise BadDeclaration(f"RetryPolicy(factor={self.factor}): give 1 or more, or waits would shrink")
        if not 0 <= self.jitter <= 1:
            raise BadDeclaration(f"RetryPolicy(jitter={self.jitter}): give 0 to 1, the share drawn at random")
        if not 0 <= self.base_seconds <= self.cap_seconds <= 24 * 3600:
            raise BadDeclaration(
                f"RetryPolicy(base_seconds={self.base_seconds}, cap_seconds={self.cap_seconds}): "
                "give 0 <= base_seconds <= cap_seconds <= 86400 (one day)"
            )

    def delay(self, attempt: int, random: Callable[[], float]) -> timedelta:
        """How long to wait after failed attempt number `attempt` (1 is the first); `random` returns 0 to 1.

        Full jitter by default, from nothing up to the ceiling: thousands of tasks that one outage failed together must
        not come back together (AWS Architecture Blog, "Exponential Backoff and Jitter").
        """
        share = 1 - self.jitter + self.jitter * random()
        return timedelta(seconds=share * self.ceiling_seconds(attempt))

    def pauses(self) -> tuple[timedelta, timedelta]:
        """All pauses from the first attempt to the last together: the least and the most they can be."""
        most = sum(self.ceiling_seconds(attempt) for attempt in range(1, self.max_retries + 1))
        return timedelta(seconds=most * (1 - self.jitter)), timedelta(seconds=most)

    def ceiling_seconds(self, attempt: int) -> float:
        """The longest wait after failed attempt number `attempt`."""
        try:
            return min(self.cap_seconds, self.base_seconds * self.factor ** max(0, attempt - 1))
        except OverflowError:  # floats end near 1e308, attempt numbers do not
            return self.cap_seconds


@dataclass(frozen=True)
class Retry:
    """Try again after `delay`."""

    delay: timedelta


@dataclass(frozen=True)
class GiveUp:
    """Do not try again; `reason` completes the sentence "the task failed because …"."""

    reason: str


def decide(
    policy: RetryPolicy,
    *,
    error: BaseException,
    retries_used: int,
    max_retries: int,
    random: Callable[[], float],
) -> Retry | GiveUp:
    """What follows a failed attempt: a pure function of the error and of the retries already used.

    `max_retries` is the task's own number, which may differ from its type's. Cancelling and shutting down are no
    failures and are settled before this question comes up.
    """
    if isinstance(error, PermanentError):
        return GiveUp("its error is permanent")
    if retries_used >= max_retries:
        return GiveUp(f"all of its {max_retries} retries are used" if max_retries else "it may not be retried")
    own = policy.delay(retries_used + 1, random)
    match error:
        case AskedToWait():
            return Retry(max(own, timedelta(seconds=error.seconds)))
        case RetryLater():
            return Retry(timedelta(seconds=error.seconds))
    return Retry(own)
