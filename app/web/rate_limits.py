"""How many requests an account and an address may make: create, read and auth are counted separately.

In memory each process counts by itself; with RATE_LIMIT_STORAGE=redis:// they count together.
"""

import math
import time
from dataclasses import dataclass
from uuid import UUID

from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from werkzeug.exceptions import TooManyRequests

from app.addresses import caller_of
from app.config import Settings
from app.errors import Refused
from app.observability.log import get_logger
from app.web.rate_counts import MemoryCounts

log = get_logger(__name__)

ADDRESS_SHARE = 10  # an address (an office, a cluster) may be as busy as ten accounts
READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a caller stands: what the RateLimit headers say."""

    limit: int
    remaining: int
    reset_seconds: int


class Limits:
    """The limits of one application."""

    def __init__(self, settings: Settings) -> None:
        self._create = _item(settings.rate_limit_create)
        self._read = _item(settings.rate_limit_read)
        self._auth = _item(settings.rate_limit_auth)
        storage = storage_from_string(settings.rate_limit_storage, wrap_exceptions=True)
        self._strategy: RateLimiter = SlidingWindowCounterRateLimiter(storage)
        self._fallback: RateLimiter = SlidingWindowCounterRateLimiter(MemoryCounts())

    def count(self, user_id: UUID) -> None:
        """Count a request of an account, and of the address it came from. Raises TooManyRequests."""
        kind, item = ("read", self._read) if request.method in READING else ("create", self._create)
        if item is None:
            return
        self._hit(item, kind, f"account:{user_id}")
        self._hit(_of_address(item), kind, _address(), is_told=False)

    def count_batch(self, user_id: UUID, tasks: int) -> None:
        """Count the tasks of a batch but for the first, which `count` has counted as a request of its own.

        Raises TooManyRequests, and Refused for a batch that no waiting would let in.
        """
        item = self._create
        if item is None or tasks <= 1:
            return
        if tasks > item.amount:
            most = f"{item.amount} per {item.GRANULARITY.name}"
            raise Refused({"tasks": [f"are {tasks}; each counts as a request, and of those {most} are let in"]})
        self._hit(item, "create", f"account:{user_id}", cost=tasks - 1)
        self._hit(_of_address(item), "create", _address(), is_told=False, cost=tasks - 1)

    def count_auth(self) -> None:
        """Count a log-in, a registration or a wrong credential of an address. Raises TooManyRequests."""
        if self._auth is not None:
            self._hit(self._auth, "auth", _address())

    def _hit(self, item: RateLimitItem, kind: str, who: str, *, is_told: bool = True, cost: int = 1) -> None:
        try:
            is_let_in = self._strategy.hit(item, kind, who, cost=cost)
            reset, remaining = self._strategy.get_window_stats(item, kind, who)
        except StorageError as error:
            # A counter that is away must not stop the service: this process counts by itself meanwhile.
            log.warning("rate_limit_storage_away", error=str(error))
            is_let_in = self._fallback.hit(item, kind, who, cost=cost)
            reset, remaining = self._fallback.get_window_stats(item, kind, who)
        seconds = max(1, math.ceil(reset - time.time()))
        if is_told or not is_let_in:
            g.rate_limit = Standing(limit=item.amount, remaining=max(remaining, 0), reset_seconds=seconds)
        if not is_let_in:
            whose = "your account" if who.startswith("account:") else "your address"
            raise TooManyRequests(
                f"More than {item.amount} requests per {item.GRANULARITY.name} from {whose}: try again in {seconds} s.",
                retry_after=seconds,
            )


def _of_address(item: RateLimitItem) -> RateLimitItem:
    return type(item)(item.amount * ADDRESS_SHARE, item.multiples, item.namespace)


def _address() -> str:
    return f"address:{caller_of(request.remote_addr)}"


def _item(text: str) -> RateLimitItem | None:
    return parse(text) if text else None


def _limits() -> Limits:
    registered: Limits = current_app.extensions["taskledger.limits"]
    return registered


def count(user_id: UUID) -> None:
    """Count a request of an account. Raises TooManyRequests."""
    _limits().count(user_id)


def count_batch(user_id: UUID, tasks: int) -> None:
    """Count the tasks of an account's batch beside the first. Raises TooManyRequests or Refused."""
    _limits().count_batch(user_id, tasks)


def count_auth() -> None:
    """Count a log-in, a registration or a wrong credential. Raises TooManyRequests."""
    _limits().count_auth()


def _tell(response: Response) -> Response:
    standing: Standing | None = g.get("rate_limit")
    if standing is not None:
        add = response.headers.add  # nobody else sets them; setting would look for each in the whole list
        add("RateLimit-Limit", str(standing.limit))
        add("RateLimit-Remaining", str(standing.remaining))
        add("RateLimit-Reset", str(standing.reset_seconds))
    return response


def register(app: Flask, settings: Settings) -> None:
    """Give an application its limits; app/web/access.py counts."""
    app.extensions["taskledger.limits"] = Limits(settings)
    app.after_request(_tell)
